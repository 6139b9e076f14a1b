"""Live advice in transformers' Trainer and TRL's trainers: ``callbacks=[AdvisorCallback()]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from advisor.dialects import transformers as dialect
from advisor.findings import Severity
from advisor.integrations.advice import Advice, Asked, Say, finite_steps
from advisor.integrations.ranks import JointStop
from advisor.monitor import Policy
from advisor.rulebook.rule import Rulebook
from advisor.run import Config

_FACTS = ("max_steps", "num_train_epochs", "logging_steps", "eval_steps", "save_steps",
          "train_batch_size")  # fmt: skip
_LORA = ("r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules",
         "modules_to_save", "use_dora", "use_rslora")  # fmt: skip


class AdvisorCallback(TrainerCallback):  # type: ignore[misc]
    """Prints each finding in a line as the training logs; with a policy it stops the training.

    ``policy``: 'warn' (default), 'stop', 'act', 'off', or a mapping as for the Monitor. Both
    'stop' and 'act' save a checkpoint and end the training. Trainer cannot roll back to a
    checkpoint within a run, so a finding that needs that (a spike) is only reported.
    ``on_finding`` is a command as for `advise watch`. Of several processes only the first one
    prints, and all stop together, one step later.
    """

    def __init__(
        self,
        policy: Policy | str | Mapping[str, object] = "warn",
        *,
        on_finding: str | None = None,
        say: Say | None = None,
        severity: Severity = "warning",
        rulebook: Rulebook | None = None,
    ) -> None:
        say = tqdm.write if say is None else say
        self.advice = Advice(
            policy, say=say, on_finding=on_finding, severity=severity, rulebook=rulebook
        )
        self._is_first = True
        self._saved: dict[int, str] = {}
        self._together = JointStop(self.advice.policy, 1)
        self._is_due = False

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        self._is_first = state.is_world_process_zero
        self._together = JointStop(self.advice.policy, args.world_size)
        alone = self._together.start()
        if not self._is_first:
            return
        if alone:
            self.advice.print_line(f"findings are reported but stop nothing: {alone}")
        self._saved.clear()
        self.advice.start(
            lambda: config_of(args, kwargs.get("model"), kwargs.get("train_dataloader")),
            lambda: facts_of(state),
            str(args.output_dir or ""),
        )
        for row in state.log_history:  # rows of a resumed run
            self._take(row.get("step", 0), row)
        if state.global_step > 0:
            text = f"resumed at step {state.global_step}"
            self.advice.event("resume", text, state.global_step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not self._is_first or not logs:
            return
        asked = self._take(state.global_step, logs)
        if asked and args.world_size == 1:
            self._stop(args, state, control)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # where Trainer gathers the loss of all processes, so the flags agree between processes
        self._is_due = self._is_due or control.should_log or control.should_evaluate

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._is_due = True

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._is_due and self._together.agree(bool(self.advice.asked)):
            self._stop(args, state, control)
        self._is_due = False

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._is_first:
            self._saved[state.global_step] = f"checkpoint-{state.global_step}"
            self.advice.fact("checkpoints", dict(self._saved))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._is_first:
            self.advice.close()

    def _take(self, step: int, logs: Mapping[str, Any]) -> Asked:
        if "train_runtime" in logs:  # a summary of the whole run, not a point of a curve
            self.advice.fact("train_runtime", logs["train_runtime"])
            return ""
        return self.advice.observe(step, logs)

    def _stop(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        """Save a checkpoint and end the training, and print which checkpoint to use."""
        if control.should_training_stop:
            return
        control.should_training_stop = True
        control.should_save = True
        if not self._is_first:
            return
        report = self.advice.report()
        best = report.best if report is not None else None
        if args.load_best_model_at_end:
            then = "Trainer loads the best checkpoint"
        elif best is not None and best.series == "eval/loss":
            then = f"the best step was {best.step}" + (f", {best.place}" if best.checkpoint else "")
        else:
            then = "a checkpoint is saved"
        self.advice.print_line(f"stops the training at step {state.global_step}; {then}")


def facts_of(state: TrainerState) -> dict[str, object]:
    """Return the facts of a run, as a trainer_state.json holds them."""
    facts = {name: getattr(state, name, None) for name in _FACTS}
    facts["max_steps"] = finite_steps(state.max_steps)
    return {k: v for k, v in facts.items() if isinstance(v, int | float) and v > 0}


def config_of(args: TrainingArguments, model: Any = None, loader: Any = None) -> Config:
    """Return the training's Config under canonical keys, as read from a file of its arguments."""
    tree = {key: value for key, value in args.to_dict().items() if value is not None}
    tree["world_size"] = args.world_size
    tree |= _read_adapter(model)
    values = dialect.read(tree)
    values.setdefault("method", "full")
    samples = _length_of(getattr(loader, "dataset", None))
    if samples:
        values["data.samples"] = samples
    return Config(values, dict.fromkeys(values, "Trainer"), dialect.NAME)


def _read_adapter(model: Any) -> dict[str, object]:
    """Return the arguments of a PEFT adapter, and of the quantized model below it."""
    tree: dict[str, object] = {}
    adapters = getattr(model, "peft_config", None)
    if isinstance(adapters, Mapping) and adapters:
        found = next(iter(adapters.values()))
        for name in _LORA:
            value = getattr(found, name, None)
            if value is not None:
                tree[name] = sorted(value) if isinstance(value, set) else value
    if getattr(model, "is_loaded_in_4bit", False):
        tree["load_in_4bit"] = True
    elif getattr(model, "is_loaded_in_8bit", False):
        tree["load_in_8bit"] = True
    return tree


def _length_of(data: Any) -> int | None:
    try:
        return len(data)
    except TypeError:  # a streaming data set, or None
        return None
