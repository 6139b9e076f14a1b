"""Console text logs: dictionaries, 'key number' lines and progress bars, whoever printed them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advisor.errors import NotALog, ReadError
from advisor.median import median
from advisor.readers import names
from advisor.readers.choose import choose
from advisor.readers.console_layouts import PairReader
from advisor.readers.console_rows import Block
from advisor.readers.console_scan import Scan, scan
from advisor.readers.console_steps import LINE, Part, Placed, place_rows, split_runs
from advisor.readers.console_text import clean, decoder, lines
from advisor.readers.console_words import DEFAULT as WORDS
from advisor.readers.console_words import words_for
from advisor.readers.files import read_head
from advisor.readers.objective import objective_of
from advisor.readers.options import DEFAULT, ReadOptions
from advisor.readers.series import make_series
from advisor.run import Event, FloatArray, Run, Series

NAME = "console"
LOOK_CLOSELY = 1 << 14
LOOK = 1 << 20  # bytes of a file that are looked at before it is called no log

_SOURCE = {".py", ".ipynb", ".yaml", ".yml", ".toml", ".sh", ".cfg", ".ini", ".html", ".js"}
_HINT = re.compile(
    r"(?:loss|损失|grad[_ ]norm)[\w)]*[\"']?\s*[:=| ]\s*[\"'(]?[-+]?(?:\d|nan|inf)|"
    r"Traceback \(most recent|out of memory|OutOfMemoryError|OVERFLOW!|not enough memory|"
    r"(?m:^Killed\s*$)|(?m:^[A-Za-z_.]+Error: )",
    re.IGNORECASE,
)


def sniff(path: Path, head: bytes) -> bool:
    """Whether the file is text in which a metric or a failure is reported."""
    if path.suffix.lower() in _SOURCE or not _is_text(head):
        return False
    if _hints(head) or _reports(path, LOOK_CLOSELY):
        return True
    more = read_head(path, LOOK)
    return len(more) > len(head) and _is_text(more) and _hints(more)


def _is_text(head: bytes) -> bool:
    control = sum(head.count(code) for code in (0, 1, 2, 3, 4, 5, 6, 14, 15, 16, 17, 18))
    return bool(head.strip()) and control <= len(head) // 500


def _reports(path: Path, size: int) -> bool:
    """Whether a close look finds rows of metrics that no simple pattern shows."""
    found = Scan(WORDS, PairReader(WORDS))
    for number, raw in lines(1, read_head(path, size).decode("utf-8", "replace")):
        found.feed(number, raw)
    return sum(len(block) for block in found.rows.blocks.values()) > 2


def _hints(head: bytes) -> bool:
    return _HINT.search(clean(decoder(head).decode(head))) is not None


def read(path: Path, options: ReadOptions = DEFAULT) -> list[Run]:
    """Read the Runs of one text log; ReadError where it reports neither metric nor failure."""
    found = scan(path, words_for(options.map.values()), options.growing)
    parts = [part for block in found.rows.blocks.values() if (part := _part(block)) is not None]
    if len(parts) == 1 and parts[0].places.shape[0] == 1 and parts[0].block.kind == "pairs":
        parts = parts if len(parts[0].block.keys) > 1 else []  # a sentence with a number
    if any(_has_loss(part) for part in parts):
        parts = [part for part in parts if part.places.shape[0] > 1 or _has_loss(part)]
    parts = parts or _summary_part(found)
    if not parts:
        return [_without_series(path, found)]
    begins = split_runs(parts)
    ends = [*begins[1:], np.inf]
    runs = []
    for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        low = 0.0 if number == 0 else _border(found, begin)
        high = np.inf if end == np.inf else _border(found, end)
        ident = str(number + 1) if len(begins) > 1 else ""
        inside = [within for part in parts if (within := _within(part, begin, end)) is not None]
        run = _run(path, ident, inside, found, (low, high), options)
        if run is not None:
            runs.append(run)
    if not runs:
        raise ReadError(f"{path}: no point is left between the steps of --steps")
    return runs


def _part(block: Block) -> Part | None:
    """The rows of a block, unless a few lines only happen to hold a number."""
    places = block.place_table()
    placed = np.isfinite(places[:, LINE + 1 : LINE + 4]).any(axis=1)
    if block.kind == "pairs" and not placed.any() and len(block) < 3:
        return None
    return Part(block, block.table(), places) if len(block) else None


def _has_loss(part: Part) -> bool:
    return any(key.endswith("loss") for key in part.block.keys)


def _summary_part(found: Scan) -> list[Part]:
    """Only the closing averages are there: one point is better than none."""
    losses = {k: v for k, v in found.summary.items() if k in ("train_loss", "eval_loss")}
    if not losses:
        return []
    block = Block("dict", "", tuple(losses))
    values = np.array([list(losses.values())], dtype=np.float64)
    return [Part(block, values, np.array([[1.0, 1.0, *[np.nan] * 4]]))]


def _within(part: Part, begin: float, end: float) -> Part | None:
    lines = part.places[:, LINE]
    if begin <= lines[0] and lines[-1] < end:
        return part
    inside = (lines >= begin) & (lines < end)
    if not inside.any():
        return None
    return Part(part.block, part.values[inside], part.places[inside])


def _border(found: Scan, begin: float) -> float:
    """The line where a run begins: the header close before its first row, if there is one."""
    before = [line for line in found.headers if begin - 200 < line < begin]
    return float(before[0]) if before else begin


def _run(
    path: Path,
    ident: str,
    parts: Sequence[Part],
    found: Scan,
    lines: tuple[float, float],
    options: ReadOptions,
) -> Run | None:
    facts = dict(found.facts)
    closing = float(str(facts.pop("summary_line", 0)))
    if found.summary and (lines[0] <= closing < lines[1] or not closing):
        facts.update((k, v) for k, v in found.summary.items() if k != "epoch" and np.isfinite(v))
    placed, notes = place_rows(list(parts), facts)
    series, more = _series(placed, options, path)
    if not series:
        return None
    notes += more
    if found.events.checkpoints:
        facts["checkpoints"] = dict(found.events.checkpoints)
    if objective := objective_of(series):
        facts["objective"] = objective
    events, said = _events(found, placed, lines)
    events, notes = (*events, *_resumes(placed)), [*notes, *said]
    return Run(str(path), NAME, series, ident, events=events, notes=tuple(notes), facts=facts)


def _native(one: Placed, key: str) -> str:
    block = one.part.block
    if one.follows and not block.split and names.canonical(key) == "train/loss":
        return "epoch_loss"  # a mean over the epoch is no point among those of single steps
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
        notes.append(f"{dropped} repeated steps were dropped, the last one wins")
    return series, notes


def _events(
    found: Scan, placed: Sequence[Placed], lines: tuple[float, float]
) -> tuple[tuple[Event, ...], list[str]]:
    """The events of one run, each with the step of the last row before it.

    A failure before the first row ended an attempt that this run was started after: a note.
    """
    if not found.events.happenings:
        return (), []
    at = np.concatenate([one.part.places[:, LINE] for one in placed])
    steps = np.concatenate([one.steps for one in placed])
    order = np.argsort(at, kind="stable")
    at, steps = at[order], steps[order]
    events, failed = [], []
    for one in found.events.happenings:
        if lines[0] <= one.line < lines[1]:
            before = int(np.searchsorted(at, one.line, side="right")) - 1
            step = int(steps[before]) if before >= 0 else None
            if step is None and one.kind in ("exception", "oom"):
                failed.append(f"line {one.line}, before the first metric: {one.text[:120]}")
            else:
                events.append(Event(one.kind, one.text, step, one.line))
    return tuple(events), failed[:3]


def _resumes(placed: Sequence[Placed]) -> tuple[Event, ...]:
    """Steps that go back within a run."""
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
    if not found.events.happenings:
        raise NotALog(
            f"{path}: no metric found in this text; name one with --map train/loss=NAME, "
            "or point at the trainer's own log"
        )
    events = tuple(Event(one.kind, one.text, None, one.line) for one in found.events.happenings)
    facts = {k: v for k, v in found.facts.items() if k != "summary_line"}
    return Run(str(path), NAME, {}, events=events, notes=("no metric in the log",), facts=facts)
