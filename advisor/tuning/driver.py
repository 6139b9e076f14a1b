"""The command line of a run: our trainer's, or the user's with {config} and {run_dir} filled in."""

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
from advisor.tuning.session import Setup, find_checkpoints
from advisor.tuning.watching import CONDEMNED
from advisor.tuning.writing import Start

HELD_OUT = 0.1  # share of the training rows held out, where a config names no validation set
_FIELD = re.compile(r"\{(\w+)\}")
_FIELDS = ("config", "run_dir", "name")


@dataclass(frozen=True, slots=True)
class Length:
    """The planned length of the start run, from its log; None where the log does not state it."""

    total: int | None = None  # steps of the whole run
    rows: float | None = None  # samples in one epoch


@dataclass(frozen=True, slots=True)
class Driver:
    """Builds the commands of one session's runs."""

    setup: Setup
    start: Start
    name: str  # of the session, and of its group of runs in experiment trackers

    @property
    def ours(self) -> bool:
        """Whether the runs use our own trainer."""
        return not self.setup.command

    def build_command(
        self, plan: TrialPlan, config: Path, output: Path, length: Length
    ) -> list[str]:
        """Return the command of a run; our trainer resumes a run that has checkpoints."""
        if not self.ours:
            values = {"config": str(config), "run_dir": str(output), "name": self._name_run(plan)}
            words = [_fill_in(word, values) for word in shlex.split(self.setup.command)]
            return [*self._list_torchrun(), *words]
        where = ["--run-dir", str(output)]
        if find_checkpoints(output.parent):
            where = [f"--resume={output}"]
        flags = self.setup.launcher_words if self.setup.launcher == "torchrun" else ()
        stop_on = ["--advisor.policy", "stop", "--advisor.stop_on", repr(list(CONDEMNED))]
        extra = [*self._validation_flags("selection"), *stop_on, *self._tracking_flags(plan)]
        if plan.kind == "probe":
            extra += self._probe_flags(plan, length)
        return trainer([str(config), *where, *extra, *flags])

    def build_evaluation(self, checkpoint: Path, out: Path) -> list[str]:
        """Return the command that evaluates a checkpoint of our trainer on all held-out rows.

        ``out`` is the JSON file for the losses of the single samples.
        """
        return trainer(
            [f"--evaluate={checkpoint}", f"--output={out}", *self._validation_flags("whole")]
        )

    def build_environment(self, plan: TrialPlan) -> Mapping[str, str]:
        """Return the variables that group a session's runs in experiment trackers."""
        return {"WANDB_RUN_GROUP": self.name, "WANDB_NAME": self._name_run(plan),
                "PYTHONSAFEPATH": "1"} if self.ours else {
                "WANDB_RUN_GROUP": self.name, "WANDB_NAME": self._name_run(plan),
                "MLFLOW_RUN_NAME": self._name_run(plan)}  # fmt: skip

    def find_last_step(self, plan: TrialPlan) -> int | None:
        """Return the step after which we stop another trainer's probe; None for all other runs.

        A smaller max_steps would change its schedule, and a probe must be the start of the
        whole run.
        """
        return plan.max_steps if plan.kind == "probe" and not self.ours else None

    def _name_run(self, plan: TrialPlan) -> str:
        return f"{self.name}-{plan.number:03d}"

    def _list_torchrun(self) -> list[str]:
        if self.setup.launcher != "torchrun":
            return []
        return [
            sys.executable, "-m", "torch.distributed.run", *self.setup.launcher_words, "--no-python"
        ]  # fmt: skip

    def _validation_flags(self, part: str) -> list[str]:
        held = ["--validation_split", str(HELD_OUT)] if self.setup.holds_out else []
        return [*held, "--validation_part", part]

    def _tracking_flags(self, plan: TrialPlan) -> list[str]:
        tree, found = self.start.tree, []
        for section, group, name in (("wandb", "group", "name"), ("mlflow", "", "run_name")):
            if isinstance(tree.get(section), Mapping):
                found += [f"--{section}.{group}", self.name] if group else []
                found += [f"--{section}.{name}", self._name_run(plan)]
        return found

    def _probe_flags(self, plan: TrialPlan, length: Length) -> list[str]:
        """Return the flags that stop a probe early and keep the schedule of the whole run."""
        if plan.max_steps is None:
            return []
        flags = ["--step_scheduler.max_steps", str(plan.max_steps)]
        total = count_planned_steps(plan.values, length)
        schedule = self.start.tree.get("lr_scheduler")
        if total is None or not isinstance(schedule, Mapping) or "lr_decay_steps" in schedule:
            return flags
        return [*flags, "--lr_scheduler.lr_decay_steps", str(max(total, plan.max_steps))]


def count_planned_steps(values: Mapping[str, object], length: Length) -> int | None:
    """Return how many steps a run of these values takes, None where nothing says.

    ``length`` holds the samples of an epoch, or the steps, from the start's log.
    """
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
    """Raise AdvisorError for a ``--command`` that cannot work, before anything runs."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise AdvisorError(f"--command: {error}; close the quotes") from None
    if not words:
        raise AdvisorError("--command: is empty; give 'my_train --config {config}'")
    named = [field for word in words for field in _FIELD.findall(word) if field in _FIELDS]
    if "config" not in named:
        raise AdvisorError(
            "--command: has no {config}, so no run would see a change; write"
            " 'my_train --config {config} --output {run_dir}'"
        )
    if not _FIELD.search(words[0]) and shutil.which(words[0]) is None:
        raise AdvisorError(f"--command: {words[0]}: no such program")


def _fill_in(word: str, values: Mapping[str, str]) -> str:
    """Return a word with our fields filled in; all other braces belong to the user."""
    return _FIELD.sub(lambda match: values.get(match[1], match[0]), word)


def check_launcher(launcher: str, words: Sequence[str]) -> tuple[str, ...]:
    """Return torchrun's own arguments, the words after ``--``.

    AdvisorError for an unknown launcher, one that is not installed, or words for another one.
    """
    if launcher not in ("local", "torchrun", "ray"):
        raise AdvisorError(f"--launcher {launcher}: give local, torchrun or ray")
    for name, module, extra in (("ray", "ray", "ray"), ("torchrun", "torch", "train")):
        if launcher == name and find_spec(module) is None:
            raise AdvisorError(f"--launcher {name}: pip install 'finetune-advisor[{extra}]'")
    if words and launcher != "torchrun":
        raise AdvisorError(f"{words[0]}: words after -- are for --launcher torchrun only")
    return tuple(words) or (("--nproc-per-node", "1") if launcher == "torchrun" else ())
