"""From the tree of a config to a TrainConfig: one function a section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, get_args

from train.config import targets
from train.config.advice import advice
from train.config.checks import check
from train.config.dataset import dataset
from train.config.distributed import read_distributed
from train.config.fields import Context, as_section, build, convert
from train.config.model import model
from train.config.nearest import unknown_key
from train.config.nodes import ConfigScalar, Node, Section, expand_scalar, plain
from train.config.tracking import tracking
from train.config.types import (
    CheckpointConfig,
    LoaderConfig,
    LossConfig,
    OptimizerConfig,
    PackingConfig,
    PeftConfig,
    QuantConfig,
    SafetyConfig,
    ScheduleConfig,
    StepConfig,
    TrainConfig,
    ValidationPart,
)
from train.errors import TrainConfigError

V = TypeVar("V", int, float, bool, str)
_SECTIONS = (
    "model", "dataset", "validation_dataset", "step_scheduler", "optimizer", "lr_scheduler",
    "clip_grad_norm", "peft", "quantization", "packed_sequence", "dataloader",
    "validation_dataloader", "checkpoint", "distributed", "distributed_config", "dist_env",
    "loss_fn", "rng", "safety", "advisor", "wandb", "mlflow", "tensorboard", "compile", "tokenizer",
)  # fmt: skip
_VALUES = ("seed", "validation_split", "validation_part", "recipe")
_TORCH_RATES = {"SGD": 1e-3, "Adagrad": 1e-2, "Adadelta": 1.0, "RMSprop": 1e-2, "ASGD": 1e-2}
_TORCH_RATES |= {"Adamax": 2e-3, "NAdam": 2e-3, "Rprop": 1e-2, "Adafactor": 1e-2}
_OPTIMIZER_OPTIONS = frozenset(
    ["lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "fused", "capturable",
     "differentiable", "momentum", "dampening", "nesterov", "alpha", "centered", "rho", "lambd",
     "t0", "etas", "step_sizes", "lr_decay", "initial_accumulator_value", "momentum_decay",
     "decoupled_weight_decay", "beta2_decay", "d", "optim_bits", "args", "min_8bit_size",
     "percentile_clipping", "block_wise", "is_paged"]
)  # fmt: skip
_DEFAULT_SEED = 42
_INITS = {"kaiming_uniform": "kaiming", "uniform": "kaiming", "xavier_normal": "xavier"}


def to_config(root: Section, context: Context, allow_user_modules: bool) -> TrainConfig:
    """Return the checked config of a tree."""
    for key, node in root:
        if key not in _SECTIONS and key not in _VALUES:
            raise unknown_key(node.place, "", key)
    data = root.get("dataset")
    if data is None:
        where = root.place or "config"
        raise TrainConfigError(f"{where}: no section 'dataset'; say what to train on")
    held_out = root.get("validation_dataset")
    config = TrainConfig(
        model=model(root, context),
        dataset=dataset(data, "dataset", context, allow_user_modules),
        validation_dataset=None
        if held_out is None
        else dataset(held_out, "validation_dataset", context, allow_user_modules),
        validation_split=_value(root, "validation_split", float, context) or 0.0,
        validation_part=_part(root, context),
        step_scheduler=_steps(root, context),
        optimizer=_optimizer(root, context),
        lr_scheduler=_schedule(root, context),
        max_norm=_max_norm(root, context),
        peft=_peft(root, context),
        quantization=_quantization(root, context),
        packed_sequence=_packing(root, context),
        dataloader=_loader(root, "dataloader", context),
        validation_dataloader=_loader(root, "validation_dataloader", context),
        checkpoint=_checkpoint(root, context),
        distributed=read_distributed(root, context),
        loss_fn=_loss(root, context),
        safety=build(SafetyConfig, as_section(root.get("safety"), "safety"), "safety", context),
        advisor=advice(root, context),
        tracking=tracking(root, context),
        seed=_seed(root, context),
        compile=_compile(root, context),
        allow_user_modules=allow_user_modules,
    )
    check(config, root, context)
    return config


def _value(section: Section, key: str, kind: type[V], context: Context, path: str = "") -> V | None:
    node = section.get(key)
    return None if node is None else convert(node, kind, f"{path}{key}", context.env)


def _part(root: Section, context: Context) -> ValidationPart:
    said = _value(root, "validation_part", str, context) or "whole"
    for part in get_args(ValidationPart):
        if said == part:
            return part  # type: ignore[no-any-return]
    place = root.entries["validation_part"].place
    raise TrainConfigError(
        f"{place}: validation_part is '{said}', expected whole, selection or test"
    )


def _target(
    section: Section, path: str, table: Mapping[tuple[str, str], str], context: Context
) -> str | None:
    """Return what the section's target stands for, None where it has none."""
    node = section.get("_target_")
    if node is None:
        return None
    return targets.resolve(
        convert(node, str, f"{path}._target_", context.env), table, node.place, f"{path}._target_"
    )


_TARGET = frozenset(["_target_"])


def _steps(root: Section, context: Context) -> StepConfig:
    section = as_section(root.get("step_scheduler"), "step_scheduler")
    _target(section, "step_scheduler", targets.STEPS, context)
    return build(StepConfig, section, "step_scheduler", context, skip=_TARGET)


def _optimizer(root: Section, context: Context) -> OptimizerConfig:
    section = as_section(root.get("optimizer"), "optimizer")
    name = _optimizer_name(section, context)
    options: dict[str, object] = {}
    for key, node in section:
        if key in ("_target_", "lr"):
            continue
        if key not in _OPTIMIZER_OPTIONS:
            raise unknown_key(node.place, "optimizer", key)
        options[key] = plain(node, context.env)
    lr = _value(section, "lr", float, context, "optimizer.")
    if lr is None:
        lr = _TORCH_RATES.get(name, 1e-3) if section.entries else OptimizerConfig().lr
        context.note(f"optimizer.lr is not set: {name} runs at {lr:g}")
    return OptimizerConfig(name=name, lr=lr, options=options)


def _optimizer_name(section: Section, context: Context) -> str:
    node = section.get("_target_")
    if node is None:
        return OptimizerConfig().name
    target = str(convert(node, str, "optimizer._target_", context.env))
    short = targets.SHORT_OPTIMIZERS.get(target.lower())
    where = "optimizer._target_"
    return short or targets.resolve(target, targets.OPTIMIZERS, node.place, where)


def _schedule(root: Section, context: Context) -> ScheduleConfig | None:
    node = root.get("lr_scheduler")
    if node is None:
        return None
    section = as_section(node, "lr_scheduler")
    _target(section, "lr_scheduler", targets.SCHEDULERS, context)
    return build(ScheduleConfig, section, "lr_scheduler", context, skip=_TARGET)


def _max_norm(root: Section, context: Context) -> float | None:
    """Return the bound; a missing or null section is 1.0 too, a bound that is null or 0 is off."""
    section = as_section(root.get("clip_grad_norm"), "clip_grad_norm")
    for key, node in section:
        if key == "norm_type" and plain(node, context.env) not in (2, None):
            raise TrainConfigError(
                f"{node.place}: clip_grad_norm.norm_type: only the 2-norm is known"
            )
        if key not in ("max_norm", "norm_type"):
            raise unknown_key(node.place, "clip_grad_norm", key)
    if "max_norm" not in section.entries:
        return 1.0
    return _value(section, "max_norm", float, context, "clip_grad_norm.") or None


def _peft(root: Section, context: Context) -> PeftConfig | None:
    node = root.get("peft")
    if node is None:
        return None
    section = as_section(node, "peft")
    _target(section, "peft", targets.PEFT, context)
    skip = frozenset(["_target_", "lora_dtype", "moe_rank_scaling", "use_memory_efficient_lora"])
    for key in sorted(skip - _TARGET):
        if section.get(key) is not None and plain(section.entries[key], context.env):
            context.note(f"peft.{key} has no effect here: adapters are kept in 32 bits")
    init = (_value(section, "lora_A_init", str, context, "peft.") or "xavier").lower()
    init = _INITS.get(init, init)
    if init not in ("xavier", "kaiming"):
        place = section.entries["lora_A_init"].place
        raise TrainConfigError(f"{place}: peft.lora_A_init is '{init}', expected xavier or kaiming")
    return build(PeftConfig, section, "peft", context, skip=skip, lora_A_init=init)


def _quantization(root: Section, context: Context) -> QuantConfig | None:
    section = as_section(root.get("quantization"), "quantization")
    _target(section, "quantization", targets.QUANTIZATIONS, context)
    config = build(QuantConfig, section, "quantization", context, skip=_TARGET)
    return config if config.load_in_4bit or config.load_in_8bit else None


def _packing(root: Section, context: Context) -> PackingConfig:
    section = as_section(root.get("packed_sequence"), "packed_sequence")
    skip = frozenset(["split_across_pack"])
    if _value(section, "split_across_pack", bool, context, "packed_sequence."):
        context.note("packed_sequence.split_across_pack has no effect: samples stay whole")
    size = section.get("packed_sequence_size")
    if (
        isinstance(size, ConfigScalar)
        and expand_scalar(size, context.env).strip().lower() == "auto"
    ):
        return build(
            PackingConfig, section, "packed_sequence", context, skip=skip, packed_sequence_size=-1
        )
    config = build(PackingConfig, section, "packed_sequence", context, skip=skip)
    if config.packed_sequence_size < 0 and size is not None:
        where = f"{size.place}: packed_sequence.packed_sequence_size"
        raise TrainConfigError(f"{where} is below 0; give a number of tokens, 0 for off, or auto")
    return config


def _loader(root: Section, path: str, context: Context) -> LoaderConfig:
    section = as_section(root.get(path), path)
    _target(section, path, targets.LOADERS, context)
    node = section.get("collate_fn")
    if node is not None:
        name = convert(_name_of(node), str, f"{path}.collate_fn", context.env)
        targets.resolve(name, targets.COLLATERS, node.place, f"{path}.collate_fn")
    if path == "dataloader" and section.get("batch_size") is not None:
        place = section.entries["batch_size"].place
        raise TrainConfigError(
            f"{place}: dataloader.batch_size: set step_scheduler.local_batch_size"
        )
    skip = frozenset(["_target_", "collate_fn", "persistent_workers", "prefetch_factor"])
    return build(LoaderConfig, section, path, context, skip=skip)


def _name_of(node: Node) -> Node:
    """Return the node that names a function: itself, or its target."""
    inner = node.get("_target_") if isinstance(node, Section) else None
    return inner or node


def _checkpoint(root: Section, context: Context) -> CheckpointConfig:
    section = as_section(root.get("checkpoint"), "checkpoint")
    _target(section, "checkpoint", targets.CHECKPOINTS, context)
    skip = frozenset(["_target_", "is_async", "staging_dir", "model_cache_dir", "v4_compatible"])
    return build(CheckpointConfig, section, "checkpoint", context, skip=skip)


def _loss(root: Section, context: Context) -> LossConfig:
    section = as_section(root.get("loss_fn"), "loss_fn")
    kind = _target(section, "loss_fn", targets.LOSSES, context) or "masked"
    skip = frozenset(["_target_", "kind", "fp32_upcast", "chunk_len", "ignore_index", "reduction"])
    return build(LossConfig, section, "loss_fn", context, skip=skip, kind=kind)


def _seed(root: Section, context: Context) -> int:
    section = as_section(root.get("rng"), "rng")
    _target(section, "rng", targets.RNGS, context)
    for key, node in section:
        if key not in ("_target_", "seed", "ranked"):
            raise unknown_key(node.place, "rng", key)
    top = _value(root, "seed", int, context)
    below = _value(section, "seed", int, context, "rng.")
    if top is not None and below is not None and top != below:
        place = root.entries["seed"].place
        raise TrainConfigError(f"{place}: seed is {top} but rng.seed is {below}; keep one of them")
    found = below if top is None else top
    return _DEFAULT_SEED if found is None else found


def _compile(root: Section, context: Context) -> bool:
    node = root.get("compile")
    if node is None:
        return False
    if isinstance(node, ConfigScalar):
        return bool(convert(node, bool, "compile", context.env))
    section = as_section(node, "compile")
    for key, inner in section:
        if key not in ("_target_", "enabled", "mode", "fullgraph", "dynamic", "backend"):
            raise unknown_key(inner.place, "compile", key)
    return bool(_value(section, "enabled", bool, context, "compile."))
