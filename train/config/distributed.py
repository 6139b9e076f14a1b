"""``distributed``, ``distributed_config`` and ``dist_env``: one set of facts in three sections."""

from __future__ import annotations

from train.config import targets
from train.config.fields import Context, as_section, build, convert
from train.config.nearest import unknown_key
from train.config.nodes import Node, Section, plain
from train.config.types import DistributedConfig
from train.errors import TrainConfigError

_SECTIONS = ("distributed", "distributed_config")
_ENV = ("backend", "timeout_minutes")
_SIZES = ("tp_size", "cp_size", "pp_size", "ep_size", "dp_replicate_size")
# Known there; they tune how a model is cut up, and here each process holds the whole one.
_NO_EFFECT = frozenset(
    ["mp_policy", "offload_policy", "defer_fsdp_grad_sync", "use_hf_tp_plan", "tp_plan", "pipeline",
     "moe", "autopipeline", "enable_async_tensor_parallel", "enable_compile", "ep_size",
     "patch_is_packed_sequence", "dp_replicate_size", "world_size", "backend_config"]
)  # fmt: skip


def read_distributed(root: Section, context: Context) -> DistributedConfig:
    """Return the three sections as one; ConfigError if two of them differ."""
    merged = Section(place=root.place)
    strategy: str | None = None
    for name in _SECTIONS:
        section = as_section(root.get(name), name)
        target = section.get("_target_")
        if target is not None:
            path = f"{name}._target_"
            text = convert(target, str, path, context.env)
            strategy = targets.resolve(text, targets.STRATEGIES, target.place, path)
        for key, node in section:
            if key in _ENV:
                raise unknown_key(node.place, name, key)
            if key != "_target_":
                _add(merged, key, node, context)
    environment = as_section(root.get("dist_env"), "dist_env")
    for key, node in environment:
        if key not in _ENV:
            raise unknown_key(node.place, "dist_env", key)
        merged.entries[key] = node
    _refuse_sizes(merged, context)
    _check_processes(merged, context)
    given = {} if strategy is None or "strategy" in merged.entries else {"strategy": strategy}
    return build(DistributedConfig, merged, "distributed", context, skip=_NO_EFFECT, **given)


def _add(merged: Section, key: str, node: Node, context: Context) -> None:
    other = merged.get(key)
    if other is not None and plain(other, context.env) != plain(node, context.env):
        raise TrainConfigError(
            f"{node.place}: {key} differs between distributed and distributed_config;"
            " keep one of them"
        )
    merged.entries[key] = node


def _refuse_sizes(merged: Section, context: Context) -> None:
    for key in _SIZES:
        node = merged.get(key)
        size = 1 if node is None else convert(node, int, f"distributed.{key}", context.env)
        if size is not None and size < 1:
            raise TrainConfigError(f"{node.place}: distributed.{key} is {size}; write 1 or none")  # type: ignore[union-attr]
        if size is not None and size > 1:
            raise TrainConfigError(
                f"{node.place}: distributed.{key} is {size}, but in this version each process"  # type: ignore[union-attr]
                " holds the whole model; set it to 1 or none"
            )


def _check_processes(merged: Section, context: Context) -> None:
    """Refuse a number of processes other than the one that was started."""
    node = merged.get("dp_size")
    size = None if node is None else convert(node, int, "distributed.dp_size", context.env)
    started = context.env.get("WORLD_SIZE", "1")
    if node is not None and size is not None and str(size) != started:
        raise TrainConfigError(
            f"{node.place}: distributed.dp_size is {size}, but the processes are"
            f" {started}; start as many (--nproc-per-node), or set it to none"
        )
