"""In which config keys runs differ, and whether they may be compared at all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor.base.numbers import is_number, number, same
from advisor.base.redact import redact_value
from advisor.dialects import Dialect, default_of, dialect_of
from advisor.dialects import tree as trees
from advisor.dialects.words import language_of, name_of
from advisor.errors import ConfigError
from advisor.run import Run

MAX_KEYS = 2000  # of one config
MAX_DEPTH = 12
# Output folders and run names always differ, and explain nothing.
_NAMES = re.compile(
    r"(.*\.)?(output_dir|run_name|logging_dir|log_dir|checkpoint_dir|hub_model_id|save_dir|exp_name"
    r"|experiment_name|wandb_\w+|wandb|mlflow|_wandb)(\..*)?"
)
_VALIDATION = re.compile(
    r"(.*\.)?(validation_dataset|validation_file|eval_dataset|eval_data_path|val_size|val_set_size"
    r"|test_datasets|eval_split|dataset_test_split)(\..*)?"
)
_DATA = re.compile(
    r"(.*\.)?(dataset|datasets|train_dataset|train_file|dataset_name|dataset_path|dataset_config"
    r"|dataset_dir|dataset_mixture|data_files|data_path|max_samples|train_split"
    r"|dataset_train_split)(\..*)?"
)
_NOT_DATA = re.compile(
    r".*(batch_size|num_workers|num_proc|seq_length|max_length|collate_fn|shuffle|packing"
    r"|text_field|column_mapping\..*|_target_)"
)
# Keys that follow from the data or the batch.
_DERIVED = ("data.samples",)
# A log shows a rate only at its logging steps, so peaks this close (relative) may be the same.
_LOGGED, _NEAR = ("optimizer.lr",), 0.1
# Keys that have their default wherever a config leaves them out.
_FILLED = ("rng.", "step_scheduler.", "clip_grad_norm.", "dataloader.", "optimizer.weight_decay")
_COUNTED = ("step_scheduler.global_batch_size",)  # its native key counts something else


@dataclass(frozen=True, slots=True)
class Difference:
    """One key in which the runs differ."""

    key: str  # canonical where there is one, else as in the files
    native_key: str
    values: tuple[object, ...]  # one for each run; None where it does not state the key
    kind: str = ""  # validation, data, or '' for all others


def find_differences(runs: Sequence[Run]) -> tuple[Difference, ...]:
    """Return the keys that differ: first in the values trained with, then only in the files."""
    found: list[Difference] = []
    trees_of = [_read_tree(run) for run in runs]
    one_language = len({run.config.dialect for run in runs}) == 1 and all(trees_of)
    covered: set[str] = set()
    for key in dict.fromkeys(key for run in runs for key in run.config.values):
        native = [_native_key(run, key, tree) for run, tree in zip(runs, trees_of, strict=True)]
        covered.update(native)
        values = [value_of(run, key) for run in runs]
        if key in _DERIVED or (key in _LOGGED and _is_same_in_logs(runs, key)):
            continue
        if _differ(values, one_language):
            one = len(set(native)) == 1 and native[0] and key not in _COUNTED
            shown = native[0] if one else _name_key(runs, key)
            found.append(_make_difference(key, native[0] if one else key, values, shown))
    if one_language:
        flat = [dict(leaves(tree)) for tree in trees_of]
        for key in dict.fromkeys(key for leaves in flat for key in leaves):
            raw = [leaves.get(key) for leaves in flat]
            if key not in covered and _differ(raw, True):
                found.append(_make_difference(key, key, raw))
    return tuple(
        d for d in found if not (_NAMES.fullmatch(d.native_key) or _NAMES.fullmatch(d.key))
    )


def _is_same_in_logs(runs: Sequence[Run], key: str) -> bool:
    """Return whether values that come only from logs are so close that they may be the same."""
    values = [run.config.values.get(key) for run in runs]
    known = [number(value) for value in values if is_number(value)]
    from_logs = all(run.config.origin.get(key) == "log" for run in runs)
    return from_logs and len(known) == len(runs) and min(known) >= (1 - _NEAR) * max(known)


def value_of(run: Run, key: str) -> object:
    """Return the value a run was trained with: its config's, else the trainer's default."""
    value = run.config.values.get(key)
    if value is None and run.config.path is not None and key.startswith(_FILLED):
        return default_of(run.config.dialect, key)
    return value


def explain_void(differs: Sequence[Difference]) -> str:
    """Return why the losses cannot be compared, '' where they can."""
    for kind in ("validation", "data"):
        names = [d.native_key for d in differs if d.kind == kind]
        if names:
            what = "validation sets" if kind == "validation" else "training data"
            return f"the {what} differ ({', '.join(names)}), so the losses do not compare"
    return ""


def _name_key(runs: Sequence[Run], key: str) -> str:
    """Return a key's name for users: in the runs' one dialect, or in canonical form."""
    languages = {language_of(run) for run in runs}
    return name_of(key, languages.pop()) if len(languages) == 1 else name_of(key)


def _make_difference(key: str, native: str, values: Sequence[object], name: str = "") -> Difference:
    shown = tuple(redact_value(native, value) for value in values)
    kind = "validation" if _VALIDATION.fullmatch(native) or key.startswith("validation_dat") else ""
    if not kind and (_DATA.fullmatch(native) or key.startswith("dataset.")):
        kind = "data"
    return Difference(key, name or native, shown, "" if _NOT_DATA.fullmatch(native) else kind)


def _differ(values: Sequence[object], unset_counts: bool) -> bool:
    """Return whether values differ.

    Unless ``unset_counts``, None equals anything: one dialect may leave out another's default.
    Lists of strings (modules, trackers) are compared as sets: adapters store them in any order.
    """
    values = [sorted(v) if isinstance(v, list) and _is_all_text(v) else v for v in values]
    known = list(values) if unset_counts else [value for value in values if value is not None]
    return any(not same(known[0], value) for value in known[1:])


def _is_all_text(items: Sequence[object]) -> bool:
    return all(isinstance(item, str) for item in items)


def _read_tree(run: Run) -> Mapping[str, object]:
    if run.config.path is None:
        return {}
    path = Path(run.config.path)
    try:
        return trees.parse(trees.read_text(path), path)
    except ConfigError:  # already reported when the run was read
        return {}


def _native_key(run: Run, key: str, tree: Mapping[str, object]) -> str:
    dialect: Dialect | None = dialect_of(run.config.dialect)
    return dialect.native_path(key, dict(tree)) if dialect else ""


def leaves(
    tree: Mapping[str, object], start: str = "", depth: int = 0
) -> Iterator[tuple[str, object]]:
    """Yield the values of a config under dotted names; a list is one value."""
    for count, (name, value) in enumerate(tree.items()):
        if count > MAX_KEYS or depth > MAX_DEPTH:
            return
        path = f"{start}{name}"
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{path}.", depth + 1)
        else:
            yield path, value
