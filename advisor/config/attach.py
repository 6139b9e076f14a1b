"""The config of a run: from files beside its log, the log itself, and facts that a user states."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from advisor.config.choice import choose
from advisor.config.files import BEFORE, ConfigSource, look_around, merge_sources, read_source
from advisor.config.intervals import space_steps
from advisor.dialects import DIALECTS, dialect_of, generic, habits_of
from advisor.dialects import tree as trees
from advisor.dialects.keys import KINDS, coerce
from advisor.errors import ConfigError
from advisor.run import Config, Run

__all__ = [
    "BEFORE", "attach_config", "find_config", "load_config", "peak_lr", "with_facts", "with_log",
]  # fmt: skip


def load_config(path: Path) -> Config:
    """Return the Config in one file; ConfigError if it is not a training config."""
    source = read_source(path)
    if source is None:
        known = " or ".join(dialect.NAME for dialect in DIALECTS)
        raise ConfigError(f"{path}: no training config that we know ({known}); give another file")
    return merge_sources([source], None if source.record else source)


def find_config(log_path: Path) -> Config:
    """Return the Config in the files around a log; empty if there are none."""
    return _search(log_path, None)[0]


def attach_config(
    run: Run,
    directory: Path,
    facts: Mapping[str, object] | None = None,
    config_path: Path | None = None,
) -> Run:
    """Return the run with its Config: files around the log, the log itself, then ``facts``.

    ``config_path`` names the file that edits go to. If a snapshot beside the log records what the
    run was trained with, the snapshot's values win.
    """
    config, notes = _search(directory, config_path, run)
    config = with_log(config, run)
    if facts:
        config = with_facts(config, facts)
    run = space_steps(run, config)
    return dataclasses.replace(run, config=config, notes=(*run.notes, *notes))


def _search(
    log_path: Path, config_path: Path | None, run: Run | None = None
) -> tuple[Config, tuple[str, ...]]:
    found = look_around(log_path)
    sources = list(found.sources)
    if config_path is None:
        choice = choose(found, run)
        chosen, notes = choice.taken, [*found.notes, *choice.notes]
        sources = [source for source in sources if source not in choice.others]
    else:
        chosen, notes = _read_named(config_path), list(found.notes)
        sources.insert(0, chosen)
        if chosen.stranger:
            notes.append(f"config: {config_path.name}: {chosen.stranger}'s: read, never changed")
            chosen = None
    config = merge_sources(sources, chosen, found.log_time)
    if found.weights and "method" not in config.values:
        config = _add_values(config, {"method": "full"}, "a whole model is saved")
    return config, tuple(notes)


def _read_named(path: Path) -> ConfigSource:
    """Return the config that a user names; that of an unsupported trainer is read for its
    values."""
    source = read_source(path)
    if source is None or (source.record and not source.stranger):
        raise ConfigError(f"{path}: no training config that edits can be written to")
    return source


def with_facts(config: Config, facts: Mapping[str, object]) -> Config:
    """Return the Config with the facts that a user states (``--set key=value``), under any known
    name."""
    values = {}
    for name, raw in facts.items():
        key = _canonical(name, config.dialect)
        value = coerce(key, trees.cast(raw) if isinstance(raw, str) else raw)
        _check(name, key, value)
        values[key] = value
    return _add_values(config, {**_whole_batch(config, values), **values}, "--set")


def _whole_batch(config: Config, stated: Mapping[str, object]) -> dict[str, object]:
    """Return the global batch recomputed where a user states one of its factors."""
    names = ("step_scheduler.local_batch_size", "step_scheduler.grad_acc_steps", "data.parallel")
    if habits_of(config.dialect).global_batch == "stated" or not any(
        name in stated for name in names
    ):
        return {}
    factors = [stated.get(name, config.values.get(name)) for name in names]
    if not isinstance(factors[0], int):
        return {}
    sizes = [factor if isinstance(factor, int) else 1 for factor in factors]
    return {"step_scheduler.global_batch_size": math.prod(sizes)}


def with_log(config: Config, run: Run) -> Config:
    """Return the Config with the values that the log states and no file does."""
    facts = run.facts
    found: dict[str, object] = {}
    epochs = facts.get("num_train_epochs")
    if isinstance(epochs, (int, float)) and 0 < epochs < 1e6 and float(epochs).is_integer():
        found["step_scheduler.num_epochs"] = int(epochs)
    size = facts.get("train_batch_size")
    if isinstance(size, int) and not isinstance(size, bool) and 0 < size < 1e9:
        found["step_scheduler.local_batch_size"] = size
    peak = peak_lr(run)
    if peak is not None:
        found["optimizer.lr"] = peak
    found = {key: value for key, value in found.items() if key not in config.values}
    config = _add_values(config, found, "log")
    samples = _samples(config, run)
    if samples is not None and "data.samples" not in config.values:
        config = _add_values(config, {"data.samples": samples}, "log")
    return config


def peak_lr(run: Run) -> float | None:
    """Return the highest logged learning rate, None while the warmup has not ended."""
    series = run.series.get("train/lr")
    if series is None or not len(series):
        return None
    values = series.values[np.isfinite(series.values) & (series.values > 0)]
    if not len(values):
        return None
    peak = float(values.max())
    rising = len(values) > 1 and values[-1] == peak and values[-2] < peak
    return None if rising else float(f"{peak:.3g}")


def _samples(config: Config, run: Run) -> int | None:
    limit = config.values.get("dataset.limit_dataset_samples")
    if isinstance(limit, int) and limit > 0:
        return limit
    steps = run.facts.get("steps_per_epoch")
    batch = config.values.get("step_scheduler.global_batch_size")
    if isinstance(steps, (int, float)) and isinstance(batch, int) and steps * batch >= 1:
        return int(steps * batch)
    return None


def _canonical(name: str, dialect: str) -> str:
    if name in KINDS:
        return name
    first = dialect_of(dialect)
    for each in [first, *DIALECTS] if first else DIALECTS:
        for key, names in each.KEYS.items():
            if name in names and not key.endswith("global_batch_size"):
                return key
    for key, names in generic.KEYS.items():
        if name in names:
            return key
    tails = [key for key in KINDS if name in (key.rpartition(".")[2], key.replace(".", "_"))]
    if len(tails) == 1:
        return tails[0]
    known = [*KINDS, *(n for each in DIALECTS for names in each.KEYS.values() for n in names)]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f", did you mean '{near[0]}'?" if near else "; `advise rules --keys` lists what is known"
    raise ConfigError(f"--set {name}: unknown key{hint}")


def _check(name: str, key: str, value: object) -> None:
    kind = KINDS[key]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = {
        "float": number,
        "int": number and float(str(value)).is_integer(),
        "bool": isinstance(value, bool),
        "list": isinstance(value, list),
        "str": isinstance(value, str) or value in (False, None),
    }[kind]
    if key == "method" and value not in ("full", "lora", "dora", "qlora"):
        raise ConfigError(f"--set {name}={value}: method is full, lora, dora or qlora")
    if not good:
        wanted = {"float": "a number", "int": "a whole number", "bool": "true or false"}
        raise ConfigError(f"--set {name}={value}: expected {wanted.get(kind, kind)}")
    unset = key.endswith("max_steps") and value == -1  # the epochs end the run
    if number and not unset and not 0 <= float(str(value)) < math.inf:
        raise ConfigError(f"--set {name}={value}: expected a number of 0 or more")


def _add_values(config: Config, values: Mapping[str, object], origin: str) -> Config:
    origins = {**config.origin, **dict.fromkeys(values, origin)}
    return dataclasses.replace(config, values={**config.values, **values}, origin=origins)
