"""Finding the logs below a directory, and deciding which of them belong to one run."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from advisor.errors import NoColumn, NotALog, ReadError, one_line
from advisor.readers import READERS, leftovers, read_file
from advisor.readers.folders import Folder, Walk, natural, side_of, walk
from advisor.readers.joining import join, side_by_side
from advisor.readers.options import DEFAULT, ReadOptions
from advisor.run import Run

LOOKED_FOR = ", ".join(entry.example for entry in READERS)
MAX_RUNS = 1_000
STALE = 60.0  # seconds: a text written that long before the log is of an earlier attempt
NESTED = 4  # levels below a run's folder where its own TensorBoard files may lie

# Names of files that hold what a process or its scheduler prints.
_OUTPUT = re.compile(
    r"\.(?:err|stderr|stdout|out)(?:\.\d+)?$|\.[eo]\d+$|"
    r"^(?:std|err|slurm|nohup|train|console|output|run|log|job)"
)


@dataclass(slots=True)
class FoundLogs:
    """The runs below a path, and one error for each log that cannot be read."""

    runs: list[Run] = field(default_factory=list)
    errors: list[ReadError] = field(default_factory=list)


def read_runs(path: Path, options: ReadOptions = DEFAULT) -> list[Run]:
    """Return all Runs of a file or below a directory; ReadError where there is none.

    Logs that fail while others are read become notes of the first run.
    """
    found = read_all(path, options)
    if not found.runs:
        raise found.errors[0]
    notes = tuple(f"not read: {error}" for error in found.errors[:5])
    first = replace(found.runs[0], notes=(*found.runs[0].notes, *notes))
    return [first, *found.runs[1:]]


def read_all(path: Path, options: ReadOptions = DEFAULT) -> FoundLogs:
    """Return all Runs of a file or below a directory, and the errors of logs that fail."""
    try:
        if not path.is_dir():
            if not path.exists():
                raise ReadError(f"{path}: no such file or directory")
            return FoundLogs(read_file(path, options))
    except OSError as error:
        return FoundLogs(errors=[ReadError(f"{path}: cannot be read: {error.strerror or error}")])
    except ValueError as error:  # a NUL in the path
        return FoundLogs(errors=[ReadError(f"{path}: cannot be read: {error}")])
    except ReadError as error:
        return FoundLogs(errors=[error])
    return _below(path, options)


def _below(top: Path, options: ReadOptions) -> FoundLogs:
    walked = walk(top)
    found = _read_walk(top, walked, options)
    if walked.trackers and not found.runs:
        walked = walk(top, into_trackers=True)
        found = _read_walk(top, walked, options)
    if walked.stores and not found.runs:
        found.errors.insert(0, ReadError(walked.stores[0]))
    return found


def _read_walk(top: Path, walked: Walk, options: ReadOptions) -> FoundLogs:
    found = FoundLogs()
    others: list[ReadError] = []
    by_root: dict[Path, list[Run]] = {}
    for folder in walked.folders:
        reading = _Reading(folder, options)
        runs = _join_above(reading.runs(), folder, by_root)
        by_root[folder.root] = runs
        found.errors += reading.errors
        others += reading.others
        if sum(map(len, by_root.values())) > MAX_RUNS:
            walked.cut = f"read the first {MAX_RUNS} runs below {top} only; name a folder in it"
            break
    _pair_folders(by_root)
    found.runs = [run for root in sorted(by_root, key=natural) for run in by_root[root]]
    if walked.cut:
        found.errors.append(ReadError(walked.cut))
    if not found.runs and not found.errors:
        nothing = ReadError(f"{top}: no training log below it; looked for {LOOKED_FOR}")
        found.errors = others[:1] if len(others) == 1 else [nothing]
    return found


def _join_above(runs: list[Run], folder: Folder, by_root: dict[Path, list[Run]]) -> list[Run]:
    """Return the runs without those whose TensorBoard files show a run of a folder above.

    Hugging Face's Trainer writes such files into runs/<date>.
    """
    if folder.states or folder.tables or folder.texts:
        return runs
    kept = []
    for run in runs:
        above = [p for p in list(folder.root.parents)[:NESTED] if by_root.get(p)]
        if not any(join(by_root[place], run) for place in above):
            kept.append(run)
    return kept


def _pair_folders(by_root: dict[Path, list[Run]]) -> None:
    """Join the runs of sibling folders 'train' and 'validation', as Keras and add_scalars write."""
    for root in list(by_root):
        side, rest = side_of(root.name)
        if side not in ("eval", "test") or len(by_root[root]) != 1:
            continue
        mates = [
            other for other in by_root
            if other.parent == root.parent and side_of(other.name) == ("train", rest)
            and len(by_root[other]) == 1
        ]  # fmt: skip
        if mates:
            mate = by_root[mates[0]]
            mate[0] = side_by_side(mate[0], by_root.pop(root)[0])


class _Reading:
    """Reads the files of one folder and collects the errors."""

    def __init__(self, folder: Folder, options: ReadOptions) -> None:
        self.folder = folder
        self.options = options
        self.errors: list[ReadError] = []
        self.others: list[ReadError] = []  # of files whose name only suggested a log
        self.lacking: dict[Path, NoColumn] = {}  # files without a column that --map names

    def runs(self) -> list[Run]:
        """Return the folder's runs; a column that --map names need only be in one of its files."""
        runs = self._runs()
        missing = [set(error.missing) for error in self.lacking.values()]
        if missing and (runs or not set.intersection(*missing)):
            self.errors, self.others = [], []
            return self._runs()
        self.errors += self.lacking.values()
        return runs

    def _runs(self) -> list[Run]:
        folder = self.folder
        runs: list[Run] = []
        if folder.states:
            runs += self._states()
        for table in self._tables():
            runs += [run for run in table if not join(runs, run)]
        if folder.events:
            runs += [run for run in self._events() if not join(runs, run)]
        with_logs = bool(runs)
        for path in folder.texts:
            read = [self._clear_stale_end(run, path) for run in self._read(path)]
            others = [run for run in read if not join(runs, run)]
            if with_logs and others:
                note = f"{one_line(path.name)} beside it shows other losses and was left out"
                runs[0] = replace(runs[0], notes=(*runs[0].notes, note))
            else:
                runs += others
        if folder.checkpoints and not folder.states:
            facts = {"checkpoints": dict(sorted(folder.checkpoints.items()))}
            runs = [replace(run, facts={**run.facts, **facts}) for run in runs]
        return runs

    def _states(self) -> list[Run]:
        """Return the runs of the trainer states: the current one, then what earlier ones left."""
        groups = leftovers.group_by_run(self.folder.states, self.folder.root)
        found: list[Run] = []
        for states in groups:
            names = leftovers.checkpoints_of(states, groups, self.folder.checkpoints)
            for run in self._read(states[-1].path):
                run = replace(run, facts={**run.facts, "checkpoints": names})
                found.append(leftovers.add_note(run, states, groups))
        return found

    def _clear_stale_end(self, run: Run, path: Path) -> Run:
        """Return the Run of a text, its final events cleared where an earlier attempt printed it.

        A text without metrics ends the run beside it only if that run printed it.
        """
        folder = self.folder
        logs = [*folder.states, *folder.tables, *folder.events]
        logs += [other for other in folder.texts if other != path]
        if run.series or not logs:
            return run
        newest = max(map(_mtime, logs))
        if _OUTPUT.search(path.name.lower()) and _mtime(path) > newest - STALE:
            return run
        return replace(run, events=tuple(replace(event, final=False) for event in run.events))

    def _tables(self) -> list[list[Run]]:
        """Return the runs of each table; an evaluation table is joined with its training table."""
        read = {path: self._read(path) for path in self.folder.tables}
        taken: set[Path] = set()
        for path, runs in read.items():
            side, rest = side_of(path.name)
            for other, more in read.items():
                held, same = side_of(other.name)
                mates = (side, same) == ("train", rest) and held in ("eval", "test")
                if mates and runs and len(more) == 1:
                    runs[-1] = side_by_side(runs[-1], more[0])
                    taken.add(other)
        return [runs for path, runs in read.items() if path not in taken]

    def _events(self) -> list[Run]:
        from advisor.readers import tensorboard

        try:
            return tensorboard.read_many(self.folder.events, self.options)
        except NotALog as error:
            self.others.append(error)
        except ReadError as error:
            self.errors.append(error)
        return []

    def _read(self, path: Path) -> list[Run]:
        options = self.options
        if path in self.lacking:
            missing = self.lacking[path].missing
            kept = {name: column for name, column in options.map.items() if column not in missing}
            options = replace(options, map=kept)
        try:
            return read_file(path, options)
        except NoColumn as error:
            self.lacking[path] = error
        except NotALog as error:
            self.others.append(error)
        except ReadError as error:
            self.errors.append(error)
        return []


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
