"""Writing a run's Plan into its config, with a record so that the next check can judge it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from advisor.compare.fixes import record_fix
from advisor.dialects.words import flag_of, language_of, name_of
from advisor.errors import EditError, one_line
from advisor.findings import Edit, Plan, Report, Written
from advisor.plan.apply import apply_edits
from advisor.plan.target import Target
from advisor.readers.folders import run_folder
from advisor.run import Run


def write_plan(
    report: Report,
    plan: Plan,
    out: Path | None = None,
    in_place: bool = False,
    kinds: Collection[str] = ("safe", "review"),
) -> Written:
    """Write a Plan into a copy of the run's config, or into the config itself, and record it.

    ``kinds`` are the values of ``applies`` that are written. EditError where that is impossible.
    """
    place = Path(str(report.run.config.path))
    done = apply_edits(place, plan, report.run.config, out, in_place, kinds)
    if done.path is None:
        return done
    return replace(done, notes=record_change(report, _list_written(done), done.path))


def write_plan_or_refuse(
    report: Report, plan: Plan, out: Path | None, in_place: bool, kinds: Collection[str]
) -> Written:
    """Write a Plan, called from Python instead of the command line.

    EditError where there is no config, or no edit could be written.
    """
    run = report.run
    if out is not None and in_place:
        raise EditError(f"{out}: a path and in_place exclude each other; give one of them")
    if not any(edit.applies in kinds for edit in plan.edits):
        return Written(None, "", "", ())  # a healthy run, or only advice to follow by hand
    if run.config.path is None:
        left_out = [one_line(note) for note in run.notes if note.startswith("config")]
        why = "; ".join(left_out) or "no config was found beside this log"
        raise EditError(f"{run.path or 'a live run'}: {why}; name it with config=FILE, or take"
                        " plan.overrides over by hand")  # fmt: skip
    done = write_plan(report, plan, out, in_place, kinds)
    refuse_if_unwritten(Path(run.config.path), done, run)
    return done


def _list_written(done: Written) -> list[Edit]:
    return [each.edit for each in done.applied if each.written]


def record_change(report: Report, edits: Sequence[Edit], written: Path | None) -> tuple[str, ...]:
    """Record a change for the next check; return notes on what failed and where to run next."""
    return tuple(filter(None, (record_fix(report, edits, written), _hint_at_folder(report))))


def _hint_at_folder(report: Report) -> str:
    """Return a hint to give the next run its own folder, '' where it already gets one."""
    run = report.run
    tree = Target(run.config, run).tree
    if Path(run.path).name != "trainer_state.json" and "output_dir" not in tree:
        return ""
    folder = run_folder(Path(run.path))
    named = tree.get("output_dir")
    if isinstance(named, str) and Path(named).name != folder.resolve().name:
        return ""  # it writes elsewhere
    return (
        f"give the next run a folder of its own, as output_dir {find_fresh_folder(folder)}:"
        f" in {folder} its checkpoints would mix with those of this run"
    )


def find_fresh_folder(folder: Path) -> Path:
    """Return the path of a sibling folder that does not exist yet: run-2, run-3, ..."""
    name = re.sub(r"-\d+$", "", folder.resolve().name)
    taken = re.search(r"-(\d{1,6})$", folder.resolve().name)
    first = int(taken[1]) + 1 if taken else 2
    return next(
        place for number in range(first, first + 10_000)
        if not (place := folder.parent / f"{name}-{number}").exists()
    )  # fmt: skip


def refuse_if_unwritten(place: Path, done: Written, run: Run) -> None:
    """Raise EditError where no edit could be written and none was in the config already."""
    if any(a.written or a.edit.status == "already_changed" for a in done.applied):
        return
    wanted = [a for a in done.applied if a.edit.applies != "advice"]
    language = language_of(run)
    open_keys = [
        f"--set {flag_of(a.edit.key, language)}=..." for a in wanted if not a.edit.resolved
    ]
    if open_keys:
        raise EditError(f"{place}: no edit has a value to start from; give {', '.join(open_keys)}")
    held = [
        f"{a.edit.native_key or name_of(a.edit.key)}: {a.reason}"
        for a in wanted
        if a.edit.status in ("no_key", "held_elsewhere", "file_differs")
    ]
    if held:
        raise EditError(f"{place}: {'; '.join(held)}")
