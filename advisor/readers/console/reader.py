"""The reader of console text logs: makes Runs of what the pass over the lines found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from advisor.base.median import median
from advisor.base.numbers import count
from advisor.errors import NotALog, ReadError
from advisor.readers import names
from advisor.readers.choose import choose
from advisor.readers.console.layouts import PairReader
from advisor.readers.console.messages import is_stop
from advisor.readers.console.rows import LINE, STEP, Block, Part
from advisor.readers.console.runs import RunStretch, continue_epochs, find_runs
from advisor.readers.console.scan import Scan, scan
from advisor.readers.console.steps import Placed, place_rows, planned_steps
from advisor.readers.console.text import clean, decoder, lines
from advisor.readers.console.words import DEFAULT as WORDS
from advisor.readers.console.words import words_for
from advisor.readers.console.writers import (
    drop_repeated_skips,
    keep_one_of_each,
    keep_one_writer,
    split_closings,
)
from advisor.readers.files import read_head
from advisor.readers.objective import objective_of
from advisor.readers.options import DEFAULT, ReadOptions
from advisor.readers.series import make_series
from advisor.run import Event, FloatArray, Run, Series

NAME = "console"
BROKEN = "broken off before the next run began"
LOOK_CLOSELY = 1 << 14  # bytes of a file that ``sniff`` scans like ``read`` does
LAST_LINES = 30  # lines of a short text that are searched for the end of a process
LOOK = 1 << 20  # bytes of a file that are searched before it is rejected

_SOURCE = {".py", ".ipynb", ".yaml", ".yml", ".toml", ".sh", ".cfg", ".ini", ".html", ".js"}
_HINT = re.compile(
    r"(?:loss|损失|grad[_ ]norm)[\w)]*[\"']?\s*[:=| ]\s*[\"'(]?[-+]?(?:\d|nan|inf)|"
    r"Traceback \(most recent|out of memory|OutOfMemoryError|OVERFLOW!|not enough memory|"
    r"overflow detected|grad(?:ient)? overflow|"
    r"(?m:^Killed\s*$)|(?m:^[A-Za-z_.]+Error: )",
    re.IGNORECASE,
)


def sniff(path: Path, head: bytes) -> bool:
    """Return whether the file is text that reports a metric or a failure."""
    if path.suffix.lower() in _SOURCE or not _is_text(head):
        return False
    if _hints(head) or _reports(path, LOOK_CLOSELY):
        return True
    more = read_head(path, LOOK)
    if len(more) > len(head):
        return _is_text(more) and _hints(more)
    return any(map(is_stop, head.decode("utf-8", "replace").splitlines()[-LAST_LINES:]))


def _is_text(head: bytes) -> bool:
    control = sum(head.count(code) for code in (0, 1, 2, 3, 4, 5, 6, 14, 15, 16, 17, 18))
    return bool(head.strip()) and control <= len(head) // 500


def _reports(path: Path, size: int) -> bool:
    """Return whether scanning the first bytes finds rows of metrics that ``_HINT`` misses."""
    found = Scan(WORDS, PairReader(WORDS))
    for number, raw in lines(1, read_head(path, size).decode("utf-8", "replace")):
        found.feed(number, raw)
    return sum(len(block) for block in found.rows.blocks.values()) > 2


def _hints(head: bytes) -> bool:
    return _HINT.search(clean(decoder(head).decode(head))) is not None


def read(path: Path, options: ReadOptions = DEFAULT) -> list[Run]:
    """Return the Runs of one text log; ReadError where it reports neither metric nor failure."""
    found = scan(path, words_for(options.map.values()), options.growing)
    blocks, writer_notes = keep_one_writer(found.rows.blocks.values())
    parts = _parts(blocks) or _summary_part(found)
    if not parts:
        return [_without_series(path, found)]
    continue_epochs(parts, found.stated)
    failures = [one.line for one in found.events.found if one.kind in ("exception", "oom")]
    found_runs = find_runs(parts, found.stated, failures)
    runs = []
    for number, stretch in enumerate(found_runs, 1):
        ident = str(number) if len(found_runs) > 1 else ""
        inside = [part for one in parts if (part := stretch.select(one)) is not None]
        run = _run(path, ident, inside, found, stretch, options)
        if run is not None:
            runs.append(replace(run, notes=(*writer_notes, *run.notes)))
    if not runs:
        raise ReadError(f"{path}: no point is left between the steps of --steps")
    return runs


def _parts(blocks: Sequence[Block]) -> list[Part]:
    """Return the rows that report training progress, by their shape."""
    parts = [part for block in blocks if (part := _part(block)) is not None]
    if len(parts) == 1 and parts[0].places.shape[0] == 1 and parts[0].block.kind == "pairs":
        parts = parts if len(parts[0].block.keys) > 1 else []  # a sentence with a number
    # sections repeat what rows reported, perhaps after the best checkpoint was loaded: use them
    # only if they are the only evaluations
    sections = [part for part in parts if part.block.kind == "section"]
    parts = [part for part in parts if part.block.kind != "section"]
    if not any(_has_metric(part, "eval/loss") for part in parts) and sum(map(_rows, sections)) > 1:
        parts += sections
    if any(_has_loss(part) for part in parts):
        parts = [part for part in parts if _rows(part) > 1 or _has_loss(part)]
    return parts


def _rows(part: Part) -> int:
    return int(part.places.shape[0])


def _has_metric(part: Part, name: str) -> bool:
    split = f"{part.block.split}/" if part.block.split else ""
    return any(names.canonical(split + key) == name for key in part.block.keys)


def _part(block: Block) -> Part | None:
    """Return the rows of a block; None for a few lines with numbers but no position."""
    places = block.place_table()
    if block.kind == "bare":
        block.kind, steps = "pairs", places[:, STEP]
        if np.mean(np.diff(steps) < 0) > 0.2:  # the number of a process, not a step
            places[:, STEP] = np.nan
    if block.split and len(block) > 1 and np.unique(places[:, STEP]).size == 1:
        places[:, STEP] = np.nan  # the number of batches of each evaluation
    placed = np.isfinite(places[:, LINE + 1 : LINE + 4]).any(axis=1)
    if block.kind == "pairs" and not placed.any() and len(block) < 3:
        return None
    return Part(block, block.table(), places) if len(block) else None


def _has_loss(part: Part) -> bool:
    return any(key.endswith("loss") for key in part.block.keys)


def _summary_part(found: Scan) -> list[Part]:
    """Return the closing averages as one row, for a log that holds nothing else."""
    averages = found.stated.of_run(0.0, np.inf)
    losses = {k: float(str(v)) for k, v in averages.items() if k in ("train_loss", "eval_loss")}
    if not losses:
        return []
    block = Block("dict", "", tuple(losses))
    values = np.array([list(losses.values())], dtype=np.float64)
    return [Part(block, values, np.array([[1.0, 1.0, *[np.nan] * 4]]))]


def _run(
    path: Path,
    ident: str,
    parts: Sequence[Part],
    found: Scan,
    stretch: RunStretch,
    options: ReadOptions,
) -> Run | None:
    facts = found.stated.of_run(stretch.low, stretch.high)
    single = [keep_one_of_each(part) for part in parts]
    placed, notes = place_rows([one for part, _ in single for one in split_closings(part)], facts)
    if (times := max(size for _, size in single)) > 1:
        notes.append(f"each row is in the log {times} times and counts once")
    series, more = _series(placed, options, path)
    if not series:
        return None
    notes += more
    if "max_steps" not in facts and (planned := planned_steps(placed)) is not None:
        facts["max_steps"] = planned
    if found.events.checkpoints:
        facts["checkpoints"] = dict(found.events.checkpoints)
    if found.events.endings.closed and stretch.low <= found.events.endings.closed < stretch.high:
        facts["ended"] = True
    if objective := objective_of(series):
        facts["objective"] = objective
    events, event_notes = _events(found, placed, stretch)
    if any(note.startswith(BROKEN) for note in event_notes):
        facts["broken_off"] = True
    events, notes = (*events, *_resumes(placed)), [*notes, *event_notes]
    return Run(str(path), NAME, series, ident, events=events, notes=tuple(notes), facts=facts)


def _native(one: Placed, key: str) -> str:
    """Return the native name of a column, with its side and apart from means over epochs."""
    block = one.part.block
    if one.follows and not block.split and names.canonical(key) == "train/loss":
        return "epoch_loss"  # a mean over the epoch does not belong among losses of single steps
    if not block.split or not names.canonical(key).startswith("train/"):
        return key
    return f"{block.split}/{key}"


def _series(
    placed: Sequence[Placed], options: ReadOptions, path: Path
) -> tuple[dict[str, Series], list[str]]:
    pieces: dict[str, list[tuple[Placed, int]]] = {}
    for one in placed:
        for column, key in enumerate(one.part.block.keys):
            pieces.setdefault(_native(one, key), []).append((one, column))
    series: dict[str, Series] = {}
    dropped = 0
    counts = {k: sum(one.steps.size for one, _ in found) for k, found in pieces.items()}
    chosen, notes = choose(counts, options.map, str(path))
    for name, native in chosen.items():
        lines = np.concatenate([one.part.places[:, LINE] for one, _ in pieces[native]])
        order = np.argsort(lines, kind="stable")
        steps = np.concatenate([one.steps for one, _ in pieces[native]])[order]
        values = np.concatenate([one.part.values[:, at] for one, at in pieces[native]])[order]
        epochs: FloatArray = np.concatenate([one.part.places[:, 3] for one, _ in pieces[native]])
        made = make_series(
            name, steps.astype(np.float64), values, native, epochs[order], None, options.steps
        )
        if made is not None:
            series[name] = made
            dropped = max(dropped, made.dropped)
    if dropped:
        notes.append(f"{count(dropped, 'repeated step')} dropped: the last value of each is kept")
    return series, notes


def _events(
    found: Scan, placed: Sequence[Placed], stretch: RunStretch
) -> tuple[tuple[Event, ...], list[str]]:
    """Return the events of one run, each at the step of the last row before it, and notes.

    A failure before the first row ended an earlier attempt, so it becomes a note.
    """
    if not found.events.found:
        return (), []
    at = np.concatenate([one.part.places[:, LINE] for one in placed])
    steps = np.concatenate([one.steps for one in placed])
    order = np.argsort(at, kind="stable")
    at, steps = at[order], steps[order]
    words = found.events.endings.last_words(at[-1], stretch.low, stretch.high)
    last = {word[0]: word for word in words} if stretch.high == np.inf else {}
    events, failed = [], []
    if words and not last:  # another run follows, so this end is history
        failed.append(f"{BROKEN}, line {words[0][0]}: {words[0][2][:120]}")
    for one in drop_repeated_skips(found.events.found):
        if stretch.low <= one.line < stretch.high:
            before = int(np.searchsorted(at, one.line, side="right")) - 1
            step = int(steps[before]) if before >= 0 else None
            if step is None and one.kind in ("exception", "oom", "stop"):
                failed.append(f"line {one.line}, before the first metric: {one.text[:120]}")
            else:
                events.append(Event(one.kind, one.text, step, one.line, one.line in last))
    known = {event.line for event in events}
    # messages that repeat an earlier event and so were not added as one: the first of each kind
    again = [word for line, word in last.items() if line not in known]
    ends = {kind: Event(kind, text, int(steps[-1]), line, True) for line, kind, text in again[::-1]}
    return (*events, *ends.values()), failed[:3]


def _resumes(placed: Sequence[Placed]) -> tuple[Event, ...]:
    """Return a resume for each place where steps decrease within a run, 20 at most."""
    if not placed:
        return ()
    main = max(placed, key=lambda one: one.steps.size)
    change = np.diff(main.steps)
    usual = median(np.abs(change[change != 0])) if np.any(change) else 1.0
    return tuple(
        Event(
            "resume",
            f"steps go back from {main.steps[at]} to {main.steps[at + 1]}",
            int(main.steps[at + 1]),
            int(main.part.places[at + 1, LINE]),
        )
        for at in np.flatnonzero(change < -2 * usual)[:20]
    )


def _without_series(path: Path, found: Scan) -> Run:
    """Return the Run of a log with events only; NotALog where it has none."""
    if not found.events.found:
        raise NotALog(
            f"{path}: no metric found in this text; name one with --map train/loss=NAME, "
            "or point at the trainer's own log"
        )
    last = {word[0] for word in found.events.endings.last_words(0.0, 0.0, np.inf)}
    events = tuple(
        Event(one.kind, one.text, None, one.line, one.line in last)
        for one in drop_repeated_skips(found.events.found)
    )
    facts = found.stated.of_run(0.0, np.inf)
    return Run(str(path), NAME, {}, events=events, notes=("no metric in the log",), facts=facts)
