"""The start of a session: the user's config with --set applied, and a first diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from advisor.config.attach import with_facts
from advisor.dialects import habits_of
from advisor.dialects import tree as trees
from advisor.errors import AdvisorError, EditError
from advisor.run import Run
from advisor.tuning.planning import read_start_values
from advisor.tuning.reading import TrialReader, trial_of
from advisor.tuning.trial import TrialChange
from advisor.tuning.writing import Start, changes_between, read_start, write_values


def read_opening(path: Path, changes: Mapping[str, str], ours: bool) -> tuple[str, bool]:
    """Return the config text that a session starts from, and whether rows must be held out.

    ``changes`` are the values of ``--set``. AdvisorError where the config has no place for one,
    or is for another trainer than ours and ``ours`` is True.
    """
    start = read_start(path)
    if ours and not habits_of(start.config.dialect).is_ours:
        raise AdvisorError(
            f"{path}: a config for {start.config.dialect}, not for our trainer; say how to run it:"
            " --command 'my_train --config {config} --output {run_dir}'"
        )
    text = start.text
    if changes:
        wanted = with_facts(start.config, changes).values
        moved = changes_between(start.config.values, wanted)
        try:
            text, _ = write_values(start, moved)
        except EditError as error:
            raise AdvisorError(f"--set: {error}") from None
    tree = trees.parse(text.removeprefix("\ufeff"), path)
    held = tree.get("validation_dataset") or tree.get("validation_split")
    return text, ours and not held


def diagnose_config(start: Start, reader: TrialReader) -> tuple[TrialChange, ...]:
    """Return the edits that the config alone asks for, before the first run."""
    run = Run(str(start.path), "", {}, config=start.config)
    report = reader.judge(run)
    return trial_of(1, "full", read_start_values(run), report).edits
