"""Reads logs again while they grow, and returns the news of each look."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from advisor.findings import Report
from advisor.monitor import Change
from advisor.pipeline import Failure, Request, catch
from advisor.readers.discover import read_all
from advisor.readers.folders import run_folder
from advisor.rulebook.rule import Rulebook
from advisor.run import Run
from advisor.watch.followed import Followed
from advisor.watch.places import Fingerprint, find_present, find_rotated, fingerprint, folder_of

SHARE = 9.0  # pause over the time of a look: large logs take a tenth of a core at most
STALLED = 60.0  # seconds without growth after which no finding is held back any longer
Kind = Literal[
    "waiting", "begun", "continued", "restarted", "ended", "report", "failed",
    "raised", "updated", "withdrawn",
]  # fmt: skip
Key = tuple[Path, str]


@dataclass(frozen=True, slots=True)
class News:
    """One piece of news from a look."""

    kind: Kind
    path: str
    run: Followed | None = None  # the run it is about
    change: Change | None = None  # of a finding
    text: str = ""


@dataclass(slots=True)
class _Place:
    """A watched path: its state at the last look, and when it may be read again."""

    print: Fingerprint = ()
    is_whole: bool = False  # the last line was read although it had no line end yet
    due: float = 0.0  # clock, in seconds
    open: bool = False  # more runs may appear here
    failures: dict[str, bool] = field(default_factory=dict)  # message -> was reported


class Watcher:
    """Follows all runs under some paths, in any log format that has a reader."""

    def __init__(
        self,
        words: Sequence[Path],
        rulebook: Rulebook,
        request: Request,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.runs: dict[Key, Followed] = {}
        self.absent: list[Path] = []
        self.grown_at = clock()
        self._words, self._rulebook, self._request = words, rulebook, request
        self._options = replace(request.options, growing=True, headers={})
        self._clock = clock
        self._places: dict[Path, _Place] = {}
        self._waited: set[Path] = set()
        self._ended: set[Key] = set()

    @property
    def reports(self) -> list[Report]:
        """The Reports of all runs judged so far."""
        return [run.report for run in self.runs.values() if run.report is not None]

    @property
    def failures(self) -> list[Failure]:
        """The present failures: logs that cannot be read, and paths that do not exist."""
        failed = [
            Failure(str(path), message)
            for path, place in self._places.items()
            for message in place.failures
        ]
        gone = [
            Failure(str(path), f"{path}: no such file or directory")
            for path in self.absent
            if path not in self._places
        ]
        return failed + gone

    @property
    def over(self) -> bool:
        """Whether nothing more will come: every run has ended, and no other can appear."""
        if self.absent or not self.runs or any(place.open for place in self._places.values()):
            return False
        read = all(place.due <= self._clock() for place in self._places.values())
        return read and all(run.over for run in self.runs.values())

    def look(self, at_all: bool = False, last: bool = False) -> list[News]:
        """Read the logs that have grown, and return the news.

        ``at_all`` reads those, too, whose pause is not over. Only the ``last`` look reads a line
        that has no line end yet.
        """
        news: list[News] = []
        found, self.absent = find_present(self._words)
        for word in self.absent:
            if word not in self._waited:
                self._waited.add(word)
                news.append(News("waiting", str(word), text=f"{word} is not there yet"))
        for path, several in found.items():
            place = self._places.setdefault(path, _Place())
            now = self._clock()
            if now < place.due and not at_all:
                continue
            state = fingerprint(path)
            untold = not all(place.failures.values())
            if state == place.print and not untold and place.is_whole >= last:
                continue
            if state != place.print:
                self.grown_at = now
            place.print, place.is_whole = state, last
            news += self._read(path, place)
            place.open = several and self._holds_several(path)
            place.due = self._clock() + SHARE * (self._clock() - now)
        if self._clock() - self.grown_at > STALLED:
            news += [
                n for run in self.runs.values() if run.tracker.pending for n in self._settle(run)
            ]
        return news

    def close(self, over: bool) -> list[News]:
        """Look once more, and return the news with each run's report; ``over``: all have ended."""
        news = self.look(at_all=True, last=True)
        for key, run in self.runs.items():
            news += self._settle(run, over)
            if over:
                news += self._end(key, run)
        news += [News("report", str(run.path), run) for run in self.runs.values() if run.report]
        told = {
            message for p in self._places.values() for message, was in p.failures.items() if was
        }
        untold = [failure for failure in self.failures if failure.message not in told]
        return news + [News("failed", f.path, text=f.message) for f in untold]

    def _settle(self, run: Followed, over: bool = False) -> list[News]:
        changes = run.settle(self._rulebook, over)
        return [News(change.kind, str(run.path), run, change) for change in changes]

    def _read(self, path: Path, place: _Place) -> list[News]:
        """Read a path again; report a failure only once it occurs at two looks in a row."""
        news: list[News] = []
        failures: dict[str, Failure] = {}
        with catch(path, failures):
            found = read_all(path, replace(self._options, growing=not place.is_whole))
            failures |= {str(e): Failure(str(path), str(e)) for e in found.errors}
            for key, run in self._name_runs(found.runs):
                with catch(run.path, failures):
                    news += self._follow(key, run)
        for message, failure in failures.items():
            if place.failures.get(message) is False:
                news.append(News("failed", failure.path, text=message))
        place.failures = {message: message in place.failures for message in failures}
        return news

    def _follow(self, key: Key, read: Run) -> Iterator[News]:
        path = str(read.path)
        run = self.runs.get(key)
        if run is None:
            run = self.runs[key] = Followed(Path(path), read.id, read)
            yield News("begun", path, run)
        run.path = Path(path)
        turn = run.take(read, lambda was: self._read_rotated(Path(read.path), read, was))
        if turn != "grown":
            yield News(turn, path, run)
        for change in run.judge(self._rulebook, self._request):
            yield News(change.kind, path, run, change)
        if run.over:
            yield from self._end(key, run)
        else:
            self._ended.discard(key)

    def _read_rotated(self, path: Path, read: Run, was: tuple[int, int] | None) -> list[Run]:
        """Read the rotated files of a log; they are complete, so their last line counts, too."""
        options = replace(self._options, growing=False)
        found = [run for part in find_rotated(path, was) for run in read_all(part, options).runs]
        return [run for run in found if run.id == read.id]

    def _end(self, key: Key, run: Followed) -> list[News]:
        if key in self._ended or run.report is None:
            return []
        self._ended.add(key)
        return [News("ended", str(run.path), run)]

    def _name_runs(self, runs: Sequence[Run]) -> list[tuple[Key, Run]]:
        """Return each run with its key; drop runs that are rotated files of a followed log.

        A run keeps its key when its file changes: the state file moves from checkpoint to
        checkpoint, a state file appears beside a console log, a second event file in a folder.
        """
        keyed = {(run_folder(Path(r.path)) / Path(r.path).name, r.id): r for r in runs}
        for key in [key for key in keyed if key not in self.runs]:
            place, name = folder_of(key[0]), key[0].name
            mates = [known for known in self.runs if folder_of(known[0]) == place]
            if any(name.startswith((f"{k[0].name}.", f"{k[0].name}-")) for k in mates):
                del keyed[key]  # log.1 beside log
                continue
            gone = [known for known in mates if known not in keyed]
            if len(gone) == 1:
                self.runs[key] = self.runs.pop(gone[0])
        return list(keyed.items())

    def _holds_several(self, path: Path) -> bool:
        """Return whether more runs may appear at a path: it is not itself the folder of one run."""
        if not path.is_dir():
            return True
        return not any(run_folder(run.path) == path for run in self.runs.values())
