"""Trainer states of one folder told apart: the run that is there now, and what earlier ones left.

A run that is started again into the same folder overwrites the checkpoints whose numbers it
reaches and leaves the others: the state with the most steps need not be the newest run's.
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
TAIL = 8192
TOGETHER = 2.0  # seconds: files of one copy; which of them is newer is not told by their times
_HISTORY = re.compile(rb'"log_history"\s*:\s*\[')
_END = re.compile(rb'\}\s*\]\s*(?:,\s*"|\})')  # of the history
_BORDER = re.compile(rb"\}\s*,\s*\{")
_NUMBER = rb'"%s"\s*:\s*(-?\d{1,15})'


@dataclass(frozen=True)
class LeftoverState:
    """One trainer_state.json, as far as it says whose it is."""

    path: Path
    at_root: bool
    step: int
    planned: int
    time: float
    history: bytes  # the rows, those within HEAD at most
    is_whole: bool = True  # no row is missing

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """What its rows say of the training, in turn."""
        try:
            found = try_decode(b"[" + self.history + b"]")
        except (ValueError, RecursionError):
            return ()
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        return _said(rows, "loss") or _said(rows, "eval_loss")


def _said(rows: Iterable[dict[str, Any]], name: str) -> tuple[str, ...]:
    return tuple(repr(sorted(row.items())) for row in rows if name in row)


def state_of(path: Path, root: Path) -> LeftoverState:
    """Look at the ends of a trainer state; what cannot be read comes last."""
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
    """Return the rows that stand in the first bytes of a file, and whether they are all."""
    start = _HISTORY.search(head)
    if start is None:
        return b"", True
    end = _END.search(head, start.end())
    stop = end.start() + 1 if end else _last_row(head, start.end())
    return head[start.end() : stop], end is not None


def _last_row(head: bytes, start: int) -> int:
    """Return where the last whole row of a history that is cut off ends."""
    borders = [m.start() + 1 for m in _BORDER.finditer(head, max(start, len(head) - TAIL))]
    return borders[-1] if borders else start


def _number(name: bytes, text: bytes) -> int:
    found = re.search(_NUMBER % name, text)
    return int(found[1]) if found else -1


def runs_of(states: Sequence[LeftoverState]) -> list[list[LeftoverState]]:
    """Return the states of each run, its furthest one last; the run that is there now first."""
    runs: list[list[LeftoverState]] = []
    ended = {state.planned for state in states if state.step >= state.planned}
    for state in sorted(states, key=lambda s: (s.step, s.at_root, s.time)):
        home = next((run for run in runs if _goes_on(run[-1], state, ended)), None)
        if home is None:
            runs.append([state])
        else:
            home.append(state)
    return sorted(runs, key=_Newest)


def _goes_on(before: LeftoverState, now: LeftoverState, ended: Container[int]) -> bool:
    """Say whether a state is of the run that an earlier one is of: it holds that one's rows."""
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
    """Say whether a state was written after one of more steps; the root's is written last."""
    if abs(one.time - other.time) > TOGETHER:
        return one.time > other.time
    return one.at_root and other.planned in ended


class _Newest:
    """Orders runs, the newest first: by time, else by the root, else by what was overwritten."""

    def __init__(self, run: Sequence[LeftoverState]) -> None:
        self.time = max(state.time for state in run)
        self.at_root = any(state.at_root for state in run)
        self.lowest = run[0].step if run[0].step >= 0 else 1 << 60

    def __lt__(self, other: _Newest) -> bool:
        if abs(self.time - other.time) > TOGETHER:
            return self.time > other.time
        if self.at_root != other.at_root:
            return self.at_root
        return self.lowest < other.lowest


def apart(paths: Sequence[Path], root: Path) -> list[list[LeftoverState]]:
    """Return the states of a folder's runs; one that says nothing counts where all are such."""
    states = [state_of(path, root) for path in paths]
    return runs_of([state for state in states if state.step >= 0] or states[-1:])


def checkpoints_of(
    run: Sequence[LeftoverState], runs: Sequence[Sequence[LeftoverState]], found: Mapping[int, str]
) -> dict[int, str]:
    """Return the checkpoints of one run; those without a state are of the run that is there now."""
    own = {state.path.parent.name for state in run}
    others = {state.path.parent.name for other in runs for state in other} - own
    is_now = run is runs[0]
    return {
        step: name for step, name in sorted(found.items())
        if name in own or (is_now and name not in others)
    }  # fmt: skip


def told(read: Run, run: Sequence[LeftoverState], runs: Sequence[Sequence[LeftoverState]]) -> Run:
    """Return a run with a note on whose folder it shares; what an earlier one left has an id."""
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
