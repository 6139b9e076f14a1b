"""Grouping the trainer states of one folder by run: the current run, and leftovers of earlier ones.

A run started into the folder of an earlier one overwrites the checkpoints whose steps it reaches
and leaves the others, so the state with the most steps need not belong to the newest run.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from advisor.errors import one_line
from advisor.readers.records import try_decode
from advisor.run import Run

HEAD = 1 << 20  # bytes of a history that are compared: some 5,000 rows
TAIL = 8192  # bytes at the end of a file in which its step numbers are searched
TOGETHER = 2.0  # seconds: times closer than this come from one copy and do not order the files
_HISTORY = re.compile(rb'"log_history"\s*:\s*\[')
_END = re.compile(rb'\}\s*\]\s*(?:,\s*"|\})')  # the end of the history
_BORDER = re.compile(rb"\}\s*,\s*\{")
_NUMBER = rb'"%s"\s*:\s*(-?\d{1,15})'


@dataclass(frozen=True)
class LeftoverState:
    """What identifies the run of one trainer_state.json."""

    path: Path
    at_root: bool  # in the run's folder itself, not in a checkpoint
    step: int  # -1 where the file does not say or cannot be read
    planned: int  # max_steps; -1 likewise
    time: float  # of the last modification, seconds since 1970
    history: bytes  # the log's rows as written, within HEAD
    is_whole: bool = True  # HEAD held all rows

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """The rows with a training loss as comparable texts, or else those with an eval loss."""
        try:
            found = try_decode(b"[" + self.history + b"]")
        except (ValueError, RecursionError):
            return ()
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        return _rows_with(rows, "loss") or _rows_with(rows, "eval_loss")


def _rows_with(rows: Iterable[dict[str, Any]], name: str) -> tuple[str, ...]:
    return tuple(repr(sorted(row.items())) for row in rows if name in row)


def state_of(path: Path, root: Path) -> LeftoverState:
    """Return a trainer state by the two ends of its file; step -1 where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(4096 + HEAD)
            file.seek(max(0, path.stat().st_size - TAIL))
            ends = head[:4096] + file.read()
        time = path.stat().st_mtime
    except OSError:
        return LeftoverState(path, False, -1, -1, 0.0, b"")
    history, is_whole = _history(head)
    return LeftoverState(
        path, path.parent == root, _number(b"global_step", ends), _number(b"max_steps", ends),
        time, history, is_whole,
    )  # fmt: skip


def _history(head: bytes) -> tuple[bytes, bool]:
    """Return the rows in the first bytes of a file, and whether they are all of its rows."""
    start = _HISTORY.search(head)
    if start is None:
        return b"", True
    end = _END.search(head, start.end())
    stop = end.start() + 1 if end else _last_row(head, start.end())
    return head[start.end() : stop], end is not None


def _last_row(head: bytes, start: int) -> int:
    """Return where the last complete row of a truncated history ends."""
    borders = [m.start() + 1 for m in _BORDER.finditer(head, max(start, len(head) - TAIL))]
    return borders[-1] if borders else start


def _number(name: bytes, text: bytes) -> int:
    found = re.search(_NUMBER % name, text)
    return int(found[1]) if found else -1


def _group(states: Sequence[LeftoverState]) -> list[list[LeftoverState]]:
    """Return the states of each run by rising step; the current run comes first."""
    runs: list[list[LeftoverState]] = []
    ended = {state.planned for state in states if state.step >= state.planned}
    for state in sorted(states, key=lambda s: (s.step, s.at_root, s.time)):
        own = next((run for run in runs if _is_continued_by(run[-1], state, ended)), None)
        if own is None:
            runs.append([state])
        else:
            own.append(state)
    return sorted(runs, key=_NewestFirst)


def _is_continued_by(before: LeftoverState, now: LeftoverState, ended: Container[int]) -> bool:
    """Return whether a later state is of the same run, which it is if it holds the same rows."""
    if before.step < 0 or now.step < 0:
        return before.step == now.step
    if before.planned != now.planned and _is_newer(before, now, ended):
        return False  # a shorter run, started after the longer one
    if now.history.startswith(before.history):
        return True
    shared = min(len(before.rows), len(now.rows))
    held = shared == len(before.rows) or not now.is_whole
    return held and before.rows[:shared] == now.rows[:shared]


def _is_newer(one: LeftoverState, other: LeftoverState, ended: Container[int]) -> bool:
    """Return whether ``one`` was written after ``other``, which has more steps.

    A finished run writes the state at the root last.
    """
    if abs(one.time - other.time) > TOGETHER:
        return one.time > other.time
    return one.at_root and other.planned in ended


class _NewestFirst:
    """Sort key of runs: newest time first, then the state at the root, then the lowest step.

    A run that overwrote the lowest checkpoints is newer than one that kept only later ones.
    """

    def __init__(self, run: Sequence[LeftoverState]) -> None:
        self.time = max(state.time for state in run)
        self.at_root = any(state.at_root for state in run)
        self.lowest = run[0].step if run[0].step >= 0 else 1 << 60

    def __lt__(self, other: _NewestFirst) -> bool:
        if abs(self.time - other.time) > TOGETHER:
            return self.time > other.time
        if self.at_root != other.at_root:
            return self.at_root
        return self.lowest < other.lowest


def group_by_run(paths: Sequence[Path], root: Path) -> list[list[LeftoverState]]:
    """Return the states of each run of a folder by rising step; the current run comes first.

    States without a step are ignored, unless all are such; then the last one is the run.
    """
    states = [state_of(path, root) for path in paths]
    return _group([state for state in states if state.step >= 0] or states[-1:])


def checkpoints_of(
    run: Sequence[LeftoverState], runs: Sequence[Sequence[LeftoverState]], found: Mapping[int, str]
) -> dict[int, str]:
    """Return step -> name of one run's checkpoints; the current run owns those without a state."""
    own = {state.path.parent.name for state in run}
    others = {state.path.parent.name for other in runs for state in other} - own
    is_now = run is runs[0]
    return {
        step: name for step, name in sorted(found.items())
        if name in own or (is_now and name not in others)
    }  # fmt: skip


def add_note(
    read: Run, run: Sequence[LeftoverState], runs: Sequence[Sequence[LeftoverState]]
) -> Run:
    """Return ``read`` with a note that its folder holds several runs; earlier ones get an id."""
    if len(runs) == 1:
        return read
    at = next(i for i, other in enumerate(runs) if other is run)
    if at == 0:
        left = ", ".join(_places(other) for other in runs[1:])
        note = f"{left}: left by an earlier run into this folder, judged as a run of its own"
        return replace(read, notes=(*read.notes, note))
    note = "left by an earlier run: a newer one was started into the same folder"
    facts = {**read.facts, "leftover": True, "ended": True}
    name = "earlier" if len(runs) == 2 else f"earlier {at}"
    return replace(read, id=name, facts=facts, notes=(*read.notes, note))


def _places(run: Sequence[LeftoverState]) -> str:
    names = [one_line(s.path.name if s.at_root else s.path.parent.name) for s in run]
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
