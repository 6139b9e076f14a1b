"""The sections ``dataset`` and ``validation_dataset``: which rows, and how they are read."""

from __future__ import annotations

from train.config import targets
from train.config.fields import Context, as_section, build, convert
from train.config.nodes import ConfigScalar, Node, Section, plain
from train.config.types import DataKind, DatasetConfig
from train.errors import TrainConfigError

OPT_IN = "NEMO_ENABLE_USER_MODULES"
_SOURCES = ("path_or_dataset_id", "dataset_name")
_LIMITS = ("limit_dataset_samples", "limit")
_PARTS = ("context", "question", "answer")
# Known there; rows are never padded here, and always cut to seq_length.
_NO_EFFECT = frozenset(
    ["padding", "truncation", "start_of_turn_token", "shuffle_seed", "fp8", "chat_template",
     "mask_reasoning_content", "repeat_on_exhaustion", "pad_to_max_length"]
)  # fmt: skip
_OWN = frozenset(["_target_", "tokenizer", *_SOURCES, *_LIMITS]) | _NO_EFFECT
_INNER = ("kind", "source", "target", "options")  # fields that the YAML says in other words


def dataset(node: Node, path: str, context: Context, allow_user_modules: bool) -> DatasetConfig:
    """Return the checked section."""
    section = as_section(node, path)
    target = _text(section, "_target_", path, context)
    known = targets.look_up(target, targets.DATASETS) if target else "columns"
    if target and known is None:
        return _user(section, target, path, context, allow_user_modules)
    return _read_known(section, known, target, path, context)  # type: ignore[arg-type]


def _read_known(
    section: Section, kind: DataKind, target: str, path: str, context: Context
) -> DatasetConfig:
    for key, inner in section:
        if key.startswith("delta_"):
            raise TrainConfigError(
                f"{inner.place}: {path}.{key}: Delta tables are not read;"
                " export the table as parquet or JSONL"
            )
        if key in _NO_EFFECT and plain(inner, context.env) not in (None, False):
            context.note(f"{path}.{key} has no effect here")
        if key in _INNER:
            raise TrainConfigError(f"{inner.place}: unknown key {path}.{key}; write _target_")
    given: dict[str, object] = {
        "kind": kind,
        "source": _one_of(section, _SOURCES, path, str, context),
        "limit_dataset_samples": _one_of(section, _LIMITS, path, int, context),
    }
    if not given["source"]:
        name = "dataset_name" if kind == "xlam" else "path_or_dataset_id"
        raise TrainConfigError(
            f"{section.place}: {path}.{name} is not set; give a hub id or a JSON, JSONL or"
            " parquet file"
        )
    if target.endswith(targets.STREAMING):
        given["streaming"] = True
    if kind == "columns":
        given["column_mapping"] = _mapping(section, path, context)
    return build(DatasetConfig, section, path, context, skip=_OWN, **given)


def _mapping(section: Section, path: str, context: Context) -> dict[str, str]:
    """Return the columns by their part; an answer and one more part are required."""
    node = section.get("column_mapping")
    place = f"{node.place if node else section.place}: {path}.column_mapping"
    if not isinstance(node, Section):
        raise TrainConfigError(
            f"{place} is not set; map answer, and context or question, to columns"
        )
    for key, inner in node:
        if key not in _PARTS:
            raise TrainConfigError(
                f"{inner.place}: {path}.column_mapping.{key}: unknown part;"
                f" the parts are {', '.join(_PARTS)}"
            )
    found = {
        key: str(convert(inner, str, f"{path}.column_mapping.{key}", context.env))
        for key, inner in node
        if node.get(key) is not None
    }
    if "answer" not in found or len(found) < 2:
        raise TrainConfigError(f"{place} needs answer, and context or question or both")
    return found


def _user(
    section: Section, target: str, path: str, context: Context, allowed: bool
) -> DatasetConfig:
    """Return a data set of the user's own code, which runs only with the opt-in."""
    place = section.entries["_target_"].place
    if target.split(".")[0] in (targets.NEMO, targets.HF, targets.TORCH):
        targets.resolve(target, targets.DATASETS, place, f"{path}._target_")
    if not allowed:
        raise TrainConfigError(
            f"{place}: {path}._target_ '{target}' is code of your own; to run it, pass"
            f" --allow-user-modules or set {OPT_IN}=1"
        )
    if ":" not in target and "." not in target:
        raise TrainConfigError(
            f"{place}: {path}._target_ '{target}' names no function;"
            " write package.module.function or path/file.py:function"
        )
    options = {key: plain(inner, context.env) for key, inner in section if key != "_target_"}
    split = section.get("split")
    return DatasetConfig(
        kind="user",
        target=target,
        source=target,
        options=options,
        split=str(plain(split, context.env)) if isinstance(split, ConfigScalar) else None,
        limit_dataset_samples=_one_of(section, _LIMITS, path, int, context),  # type: ignore[arg-type]
    )


def _text(section: Section, key: str, path: str, context: Context) -> str:
    node = section.get(key)
    return "" if node is None else str(convert(node, str, f"{path}.{key}", context.env))


def _one_of(
    section: Section, keys: tuple[str, ...], path: str, kind: type, context: Context
) -> object:
    """Return the value under any of several names for one thing."""
    nodes = {key: node for key in keys if (node := section.get(key)) is not None}
    values = {key: convert(node, kind, f"{path}.{key}", context.env) for key, node in nodes.items()}
    if len(set(values.values())) > 1:
        first, second = list(values)[:2]
        raise TrainConfigError(
            f"{nodes[second].place}: {path}.{first} and {path}.{second} differ; keep one of them"
        )
    return next(iter(values.values()), "" if kind is str else None)
