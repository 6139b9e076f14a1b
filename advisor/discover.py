"""Finding the logs below a directory, and which of them belong to one run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.errors import ReadError
from advisor.readers import read_file
from advisor.readers.files import read_head
from advisor.readers.options import DEFAULT, ReadOptions
from advisor.run import Run, Series

MAX_DEPTH = 8
MAX_FILES = 20_000
_SKIP = {".git", "node_modules", "__pycache__", ".venv", "venv", "site-packages", "wandb", "mlruns"}
_CHECKPOINT = re.compile(r"^(?:checkpoint|ckpt|epoch_\d+_step|step|global_step)[-_]?(\d+)$")
_TEXT = (".log", ".txt", ".out")
_JSON_LOG = re.compile(r"(train|valid|val|eval|log|metric|history).*\.jsonl?$", re.IGNORECASE)
_NOT_LOGS = re.compile(
    r"^(requirements.*|readme.*|license.*|merges|vocab|files_metadata|special_tokens.*)\.txt$"
    r"|^(all|train|eval|predict|test)_results\.json$|^wandb-.*\.json$",
    re.IGNORECASE,
)
LOOKED_FOR = "trainer_state.json, *.jsonl, *.csv, events.out.tfevents.*, *.log"


@dataclass(frozen=True, slots=True)
class Group:
    """The files of one run, richest first, and its checkpoints by step."""

    root: Path
    files: tuple[Path, ...]
    checkpoints: tuple[tuple[int, str], ...] = ()


def read_runs(path: Path, options: ReadOptions = DEFAULT) -> list[Run]:
    """Read all Runs of a file or below a directory; ReadError where nothing can be read.

    What fails beside runs that were read is kept as a note of the first one.
    """
    if not path.exists():
        raise ReadError(f"{path}: no such file or directory")
    if path.is_file():
        return read_file(path, options)
    groups = find_groups(path)
    runs: list[Run] = []
    errors: list[str] = []
    for group in groups:
        try:
            runs.extend(_read_group(group, options))
        except ReadError as error:
            errors.append(str(error))
    if runs:
        notes = tuple(f"not read: {e}" for e in errors[:5])
        return [replace(runs[0], notes=(*runs[0].notes, *notes)), *runs[1:]]
    if known := _known_store(path):
        raise ReadError(known)
    if errors:
        raise ReadError(errors[0])
    raise ReadError(f"{path}: no training log below it; looked for {LOOKED_FOR}")


def _known_store(path: Path) -> str:
    for place, _, files in _walk(path, skip=frozenset({".git"})):
        for name in files:
            if name.endswith(".wandb"):
                return (
                    f"{place / name}: a W&B run file, which cannot be read yet; export its history"
                    " as CSV, or give the output.log beside it"
                )
        if place.name == "mlruns" or "mlflow.db" in files:
            return f"{place}: an MLflow store, which cannot be read yet; export the metrics as CSV"
    return ""


def _walk(top: Path, skip: frozenset[str] | set[str]) -> Iterator[tuple[Path, list[str], list[str]]]:
    seen = 0
    for place, folders, files in os.walk(top, followlinks=False):
        depth = len(Path(place).relative_to(top).parts)
        folders[:] = sorted(
            f for f in folders if f not in skip and not f.startswith(".") and depth < MAX_DEPTH
        )
        seen += len(files)
        yield Path(place), folders, sorted(files)
        if seen > MAX_FILES:
            return


def find_groups(top: Path) -> list[Group]:
    """Return the runs below a directory, in the order of their folders."""
    candidates: dict[Path, list[Path]] = {}
    checkpoints: dict[Path, list[tuple[int, str]]] = {}
    for place, _, files in _walk(top, _SKIP if top.name not in ("wandb", "mlruns") else {".git"}):
        step = _CHECKPOINT.match(place.name)
        inside = step is not None and place != top
        root = place.parent if inside else place
        if inside and step is not None and files:
            checkpoints.setdefault(root, []).append((int(step.group(1)), place.name))
        kept = [place / f for f in files if _is_candidate(place / f)]
        if inside:
            kept = [f for f in kept if f.name == "trainer_state.json"]
        candidates.setdefault(root, []).extend(kept)
    groups: list[Group] = []
    for root in sorted(candidates):
        groups.extend(_groups_of(root, candidates[root], tuple(sorted(checkpoints.get(root, [])))))
    return groups


def _is_candidate(path: Path) -> bool:
    name = path.name
    if _NOT_LOGS.search(name) or name.startswith("."):
        return False
    if name == "trainer_state.json" or "tfevents" in name:
        return True
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv") or suffix in _TEXT:
        return True
    return suffix == ".jsonl" or bool(suffix == ".json" and _JSON_LOG.search(name)
                                      and b'"log_history"' in read_head(path))


def _groups_of(
    root: Path, files: list[Path], checkpoints: tuple[tuple[int, str], ...]
) -> list[Group]:
    """Split the files of one folder into runs."""
    states = [f for f in files if f.name == "trainer_state.json"]
    events = [f for f in files if "tfevents" in f.name]
    tables = [f for f in files if f.suffix in (".jsonl", ".csv", ".tsv", ".json")
              and f not in states and f not in events]
    texts = [f for f in files if f.suffix.lower() in _TEXT]
    if states:
        newest = max(states, key=lambda f: (_last_step(f), f.parent == root, f.stat().st_mtime))
        return [Group(root, (newest, *tables[:4], *texts[:2]), checkpoints)]
    pair = {f.stem: f for f in tables if f.suffix == ".jsonl"}
    if "training" in pair:
        both = [pair["training"], *([pair["validation"]] if "validation" in pair else [])]
        return [Group(root, tuple(both), checkpoints)]
    groups = [Group(root, (f,), checkpoints) for f in tables]
    if not groups and events:
        return [Group(root, tuple(events), checkpoints)]
    if not groups:
        groups = [Group(root, (f,), checkpoints) for f in texts]
    return groups


def _last_step(path: Path) -> int:
    """Return the global step of a trainer state from its first and last bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            file.seek(max(0, path.stat().st_size - 8192))
            text = head + file.read()
    except OSError:
        return -1
    found = re.search(rb'"global_step"\s*:\s*(\d{1,15})', text)
    return int(found.group(1)) if found else -1


def _read_group(group: Group, options: ReadOptions) -> list[Run]:
    """Read the richest file, and what only the others know."""
    if all("tfevents" in f.name for f in group.files) and len(group.files) > 1:
        from advisor.readers import tensorboard

        runs: list[Run] = tensorboard.read_many(group.files, options)
    else:
        runs = _first_readable(group, options)
    if group.checkpoints:
        facts = {"checkpoints": dict(group.checkpoints)}
        runs = [replace(r, facts={**r.facts, **facts}) for r in runs]
    return runs


def _first_readable(group: Group, options: ReadOptions) -> list[Run]:
    errors: list[ReadError] = []
    for i, path in enumerate(group.files):
        try:
            runs = read_file(path, options)
        except ReadError as error:
            errors.append(error)
            continue
        if len(runs) == 1:
            runs = [_complete(runs[0], group.files[i + 1 :], options)]
        return runs
    raise errors[0] if errors else ReadError(f"{group.root}: nothing to read")


def _complete(run: Run, others: tuple[Path, ...], options: ReadOptions) -> Run:
    """Take series and events that a run lacks from the other logs of its folder."""
    for path in others:
        if path.name == "trainer_state.json":
            continue
        try:
            extra = read_file(path, ReadOptions(steps=options.steps))
        except ReadError:
            continue  # not a log of this run: a text or table of another kind
        if len(extra) != 1 or not _same_steps(run, extra[0]):
            continue
        missing: dict[str, Series] = {
            k: s for k, s in extra[0].series.items() if k not in run.series
        }
        events = run.events or extra[0].events
        if missing or events != run.events:
            note = f"{', '.join(sorted(missing)) or 'events'} from {path.name}"
            run = replace(run, series={**run.series, **missing}, events=events,
                          notes=(*run.notes, note))
    return run


def _same_steps(run: Run, other: Run) -> bool:
    """Two logs are of one run where they end at about the same step and share losses."""
    mine, theirs = run.series.get("train/loss"), other.series.get("train/loss")
    if mine is None:
        return False
    if theirs is None:  # validation.jsonl: its steps lie within
        last = max((int(s.steps[-1]) for s in other.series.values()), default=0)
        return last <= 1.1 * float(mine.steps[-1]) + 10
    shared = set(mine.steps.tolist()) & set(theirs.steps.tolist())
    if len(shared) < 0.5 * min(len(mine), len(theirs)):
        return False
    value = dict(zip(theirs.steps.tolist(), theirs.values.tolist(), strict=True))
    pairs = [(m, value[s]) for s, m in zip(mine.steps.tolist(), mine.values.tolist(), strict=True)
             if s in value]
    close = sum(abs(a - b) <= 1e-3 * max(abs(a), 1e-3) for a, b in pairs if a == a and b == b)
    return close >= 0.8 * max(1, len(pairs))


