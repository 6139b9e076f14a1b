"""The command of a run: our trainer's, or the user's own with {config} and {run_dir} filled in."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from advisor.base.numbers import is_number, number
from advisor.base.trainer import command as trainer
from advisor.errors import AdvisorError
from advisor.tuning.ledger import TrialPlan
from advisor.tuning.session import Setup, checkpoints
from advisor.tuning.watching import CONDEMNED
from advisor.tuning.writing import Start

HELD_OUT = 0.1  # of the training rows, where a config names no validation set
_FIELD = re.compile(r"\{(\w+)\}")
_FIELDS = ("config", "run_dir", "name")


@dataclass(frozen=True, slots=True)
class Length:
    """How long the start's run was planned, as its log states it."""

    total: int | None = None
    rows: float | None = None  # that an epoch takes


@dataclass(frozen=True, slots=True)
class Driver:
    """Makes commands for the runs of one session."""

    setup: Setup
    start: Start
    name: str  # the session's: the group of its runs in trackers

    @property
    def ours(self) -> bool:
        return not self.setup.command

    def words(self, plan: TrialPlan, config: Path, output: Path, length: Length) -> list[str]:
        """Return the command of a run; one of ours that was cut off goes on where it was."""
        if not self.ours:
            values = {"config": str(config), "run_dir": str(output), "name": self._name(plan)}
            words = [_fill_in(word, values) for word in shlex.split(self.setup.command)]
            return [*self._torchrun(), *words]
        where = ["--run-dir", str(output)]
        if checkpoints(output.parent):
            where = [f"--resume={output}"]
        flags = self.setup.launcher_words if self.setup.launcher == "torchrun" else ()
        stop_on = ["--advisor.policy", "stop", "--advisor.stop_on", repr(list(CONDEMNED))]
        extra = [*self._validation("selection"), *stop_on, *self._tracking(plan)]
        if plan.kind == "probe":
            extra += self._probe(plan, length)
        return trainer([str(config), *where, *extra, *flags])

    def evaluation(self, checkpoint: Path, out: Path) -> list[str]:
        """Return the command that evaluates a checkpoint of ours on all held-out rows."""
        return trainer([f"--evaluate={checkpoint}", f"--output={out}", *self._validation("whole")])

    def environment(self, plan: TrialPlan) -> Mapping[str, str]:
        """Trackers overlay the runs of a session, whichever trainer starts them."""
        return {"WANDB_RUN_GROUP": self.name, "WANDB_NAME": self._name(plan),
                "PYTHONSAFEPATH": "1"} if self.ours else {
                "WANDB_RUN_GROUP": self.name, "WANDB_NAME": self._name(plan),
                "MLFLOW_RUN_NAME": self._name(plan)}  # fmt: skip

    def stops_at(self, plan: TrialPlan) -> int | None:
        """Return the step after which a probe of another trainer is ended from outside.

        A shorter max_steps would change its schedule: what is compared is the same run, cut off.
        """
        return plan.max_steps if plan.kind == "probe" and not self.ours else None

    def _name(self, plan: TrialPlan) -> str:
        return f"{self.name}-{plan.number:03d}"

    def _torchrun(self) -> list[str]:
        if self.setup.launcher != "torchrun":
            return []
        return [
            sys.executable, "-m", "torch.distributed.run", *self.setup.launcher_words, "--no-python"
        ]  # fmt: skip

    def _validation(self, part: str) -> list[str]:
        held = ["--validation_split", str(HELD_OUT)] if self.setup.holds_out else []
        return [*held, "--validation_part", part]

    def _tracking(self, plan: TrialPlan) -> list[str]:
        tree, found = self.start.tree, []
        for section, group, name in (("wandb", "group", "name"), ("mlflow", "", "run_name")):
            if isinstance(tree.get(section), Mapping):
                found += [f"--{section}.{group}", self.name] if group else []
                found += [f"--{section}.{name}", self._name(plan)]
        return found

    def _probe(self, plan: TrialPlan, length: Length) -> list[str]:
        """Return the first steps of the whole run: its schedule is that of the whole run too."""
        if plan.max_steps is None:
            return []
        flags = ["--step_scheduler.max_steps", str(plan.max_steps)]
        total = planned_steps(plan.values, length)
        schedule = self.start.tree.get("lr_scheduler")
        if total is None or not isinstance(schedule, Mapping) or "lr_decay_steps" in schedule:
            return flags
        return [*flags, "--lr_scheduler.lr_decay_steps", str(max(total, plan.max_steps))]


def planned_steps(values: Mapping[str, object], length: Length) -> int | None:
    """Return how many steps a run of these values takes, by what the start's log states."""
    epochs, most, batch = (
        values.get(f"step_scheduler.{key}")
        for key in ("num_epochs", "max_steps", "global_batch_size")
    )
    capped = int(number(most)) if is_number(most) and number(most) > 0 else None
    if length.rows is None or not is_number(epochs) or not is_number(batch):
        return capped or length.total
    total = math.ceil(length.rows / max(1.0, number(batch))) * int(number(epochs))
    return total if capped is None else min(total, capped)


def check_command(command: str) -> None:
    """Refuse a command that cannot work, before anything is run."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise AdvisorError(f"--command: {error}; close its quotes") from None
    if not words:
        raise AdvisorError("--command: is empty; give 'my_train --config {config}'")
    named = [field for word in words for field in _FIELD.findall(word) if field in _FIELDS]
    if "config" not in named:
        raise AdvisorError(
            "--command: has no {config}, so no run could take a change; write"
            " 'my_train --config {config} --output {run_dir}'"
        )
    if not _FIELD.search(words[0]) and shutil.which(words[0]) is None:
        raise AdvisorError(f"--command: {words[0]}: no such program")


def _fill_in(word: str, values: Mapping[str, str]) -> str:
    """Fill in what we know; other braces are the user's own."""
    return _FIELD.sub(lambda match: values.get(match[1], match[0]), word)


def launcher_words(launcher: str, words: Sequence[str]) -> tuple[str, ...]:
    """Check the words after ``--``: they are torchrun's."""
    if launcher not in ("local", "torchrun", "ray"):
        raise AdvisorError(f"--launcher {launcher}: give local, torchrun or ray")
    for name, module, extra in (("ray", "ray", "ray"), ("torchrun", "torch", "train")):
        if launcher == name and find_spec(module) is None:
            raise AdvisorError(f"--launcher {name}: pip install 'finetune-advisor[{extra}]'")
    if words and launcher != "torchrun":
        raise AdvisorError(f"{words[0]}: words after -- are for --launcher torchrun only")
    return tuple(words) or (("--nproc-per-node", "1") if launcher == "torchrun" else ())
