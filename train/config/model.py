"""The section ``model``: which weights, or which architecture to build new."""

from __future__ import annotations

from train.config import targets
from train.config.fields import Context, as_section, build, convert
from train.config.nodes import ConfigScalar, Node, Section, plain
from train.config.types import ModelConfig
from train.errors import TrainConfigError

_DTYPES = {
    "auto": "auto",
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "fp16": "float16",
    "float16": "float16",
    "half": "float16",
    "fp32": "float32",
    "float32": "float32",
    "float": "float32",
}
# Known there; here the one path does what each of them is for.
_NO_EFFECT = (
    "use_liger_kernel", "use_sdpa_patching", "sdpa_method", "output_hidden_states", "backend",
    "low_cpu_mem_usage", "use_cache", "num_nextn_predict_layers",
)  # fmt: skip
_OWN = frozenset(["_target_", "torch_dtype", "dtype", "config", "source", "tokenizer", *_NO_EFFECT])


def model(root: Section, context: Context) -> ModelConfig:
    """Return the checked section."""
    node = root.get("model")
    if node is None:
        where = root.place or "config"
        raise TrainConfigError(
            f"{where}: no section 'model'; give --model.pretrained_model_name_or_path PATH"
        )
    section = as_section(node, "model")
    source = _source(section, context)
    given: dict[str, object] = {"dtype": _dtype(section, context), "source": source}
    config = section.get("config")
    if config is not None:
        given |= _from_config(config, section, context)
    for key in _NO_EFFECT:
        if section.get(key) is not None and plain(section.entries[key], context.env):
            context.note(f"model.{key} has no effect here")
    name = section.get("pretrained_model_name_or_path")
    if name is None and not given.get("pretrained_model_name_or_path"):
        raise TrainConfigError(
            f"{section.place or 'model'}: model.pretrained_model_name_or_path is not set;"
            " give a hub id or a local folder"
        )
    given |= _tokenizer(root, section, context)
    return build(ModelConfig, section, "model", context, skip=_OWN, **given)


def _source(section: Section, context: Context) -> str:
    node = section.get("_target_")
    if node is None:
        return "from_pretrained"
    target = convert(node, str, "model._target_", context.env)
    return targets.resolve(target, targets.MODELS, node.place, "model._target_")


def _dtype(section: Section, context: Context) -> str:
    found: dict[str, str] = {}
    for key in ("torch_dtype", "dtype"):
        node = section.get(key)
        if node is None:
            continue
        text = str(convert(node, str, f"model.{key}", context.env))
        dtype = _DTYPES.get(text.removeprefix("torch.").lower())
        if dtype is None:
            raise TrainConfigError(
                f"{node.place}: model.{key} is '{text}', expected auto, bf16, fp16 or fp32"
            )
        found[key] = dtype
    if len(set(found.values())) > 1:
        place = section.entries["dtype"].place
        raise TrainConfigError(
            f"{place}: model.dtype and model.torch_dtype differ; keep one of them"
        )
    return next(iter(found.values()), "auto")


def _from_config(node: Node, section: Section, context: Context) -> dict[str, object]:
    """Return name and overrides of ``model.config``: a path, or a section with a target."""
    if isinstance(node, ConfigScalar):
        path = convert(node, str, "model.config", context.env)
        return {"pretrained_model_name_or_path": path}
    inner = as_section(node, "model.config")
    target = inner.get("_target_")
    if target is not None:
        name = convert(target, str, "model.config._target_", context.env)
        targets.resolve(name, targets.MODEL_CONFIGS, target.place, "model.config._target_")
    values = {key: plain(value, context.env) for key, value in inner if key != "_target_"}
    path = values.pop("pretrained_model_name_or_path", None)
    given: dict[str, object] = {"config": values}
    if path is not None and section.get("pretrained_model_name_or_path") is None:
        given["pretrained_model_name_or_path"] = str(path)
    return given


def _tokenizer(root: Section, section: Section, context: Context) -> dict[str, object]:
    """Return where the tokenizer is, if not with the model; three places may say so."""
    places: dict[str, Node | None] = {
        "tokenizer": root.get("tokenizer"),
        "model.tokenizer": section.get("tokenizer"),
        "dataset.tokenizer": as_section(root.get("dataset"), "dataset").get("tokenizer"),
    }
    for path, node in places.items():
        if node is None:
            continue
        if isinstance(node, Section):
            target = node.get("_target_")
            if target is not None:
                name = convert(target, str, f"{path}._target_", context.env)
                targets.resolve(name, targets.TOKENIZERS, target.place, f"{path}._target_")
            inner = node.get("pretrained_model_name_or_path")
            if inner is None:
                continue
            node = inner
        return {"tokenizer": convert(node, str, path, context.env)}
    return {}
