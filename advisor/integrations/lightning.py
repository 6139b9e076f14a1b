"""Live advice in Lightning: ``Trainer(callbacks=[AdvisorCallback()])``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from advisor.findings import Severity
from advisor.integrations.advice import Advice, Say, finite_steps
from advisor.integrations.ranks import JointStop
from advisor.monitor import Policy
from advisor.readers.names import canonical
from advisor.rulebook.rule import Rulebook

# Import the package of the user's own Trainer: the two are not interchangeable.
if "pytorch_lightning" in sys.modules and "lightning" not in sys.modules:
    from pytorch_lightning import Callback
    from pytorch_lightning.loggers import Logger
else:
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import Logger

_RATES = ("lr", "learning_rate", "max_lr", "base_lr")
_PRECISIONS = {"bf16": "bf16", "16": "fp16", "32": "no", "64": "no"}


class AdvisorCallback(Callback):  # type: ignore[misc]
    """Prints each finding in a line as Lightning logs; with a policy it stops the training.

    Takes the metrics that Lightning gives to its loggers: those are plain numbers already, every
    ``log_every_n_steps`` steps, so no device has to wait. A Trainer without a logger makes no
    numbers; then only metrics on the CPU are read. ``policy`` and ``on_finding`` are as in the
    callback for transformers; ``config`` adds values under canonical keys, for what the Trainer
    does not hold.
    """

    def __init__(
        self,
        policy: Policy | str | Mapping[str, object] = "warn",
        *,
        config: Mapping[str, object] | None = None,
        on_finding: str | None = None,
        say: Say | None = None,
        severity: Severity = "warning",
        rulebook: Rulebook | None = None,
    ) -> None:
        self.advice = Advice(
            policy, say=say, on_finding=on_finding, severity=severity, rulebook=rulebook
        )
        self._config = dict(config or {})
        self._is_first = True
        self._together = JointStop(self.advice.policy, 1)
        self._trainer: Any = None
        self._checkpoints: dict[int, str] = {}
        self._has_reported_device = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._is_first, self._trainer = bool(trainer.is_global_zero), trainer
        self._together = JointStop(self.advice.policy, int(trainer.world_size))
        alone = self._together.start()
        place = str(trainer.log_dir or "")  # a broadcast from the first: all processes must ask
        if not self._is_first:
            return
        if alone:
            self.advice.print_line(f"findings are reported but stop nothing: {alone}")
        self._checkpoints.clear()
        self.advice.start(
            lambda: {**config_of(trainer, pl_module), **self._config},
            lambda: facts_of(trainer),
            place,
        )
        if trainer.global_step > 0:
            self.advice.event(
                "resume", f"resumed at step {trainer.global_step}", trainer.global_step
            )
        if trainer.loggers:  # only beside other loggers: alone it would become trainer.logger
            trainer.loggers = [*trainer.loggers, _Tap(self)]

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        due = batch_idx == 0 or trainer.global_step % max(1, trainer.log_every_n_steps) == 0
        if due and self._together.agree(bool(self.advice.asked)):
            self._stop(int(trainer.global_step))

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self._is_first or trainer.loggers:
            return
        if trainer.global_step % max(1, trainer.log_every_n_steps) == 0:
            found = trainer.callback_metrics  # still holds those of the last validation
            self._read(trainer, {k: v for k, v in found.items() if not _is_held_out(k)})

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if self._is_first and not trainer.loggers and not trainer.sanity_checking:
            held = {k: v for k, v in trainer.callback_metrics.items() if _is_held_out(k)}
            self._read(trainer, held)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
        if self._is_first:
            self._checkpoints[int(trainer.global_step)] = f"step={trainer.global_step}"
            self.advice.fact("checkpoints", dict(self._checkpoints))

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if self._is_first and isinstance(exception, Exception):
            memory = "out of memory" in str(exception).lower()
            text = f"{type(exception).__name__}: {exception}"[:400]
            self.advice.event("oom" if memory else "exception", text, int(trainer.global_step))

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self._is_first:
            self.advice.close()
            trainer.loggers = [each for each in trainer.loggers if not isinstance(each, _Tap)]

    def take(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Take a row that Lightning gives to its loggers."""
        if self.advice.observe(step, metrics) and self._trainer.world_size == 1:
            self._stop(step)

    def _stop(self, step: int) -> None:
        if self._trainer.should_stop:
            return
        self._trainer.should_stop = True
        if self._is_first:
            self.advice.print_line(f"stops the training at step {step}")

    def _read(self, trainer: Any, metrics: Mapping[str, Any]) -> None:
        """Take metrics where there is no logger: only those that no device has to wait for."""
        row = {
            name: float(value)
            for name, value in metrics.items()
            if getattr(getattr(value, "device", None), "type", "cpu") == "cpu"
        }
        if len(row) < len(metrics) and not self._has_reported_device:
            self._has_reported_device = True
            self.advice.print_line(
                "metrics on a device are not read without a logger; give the Trainer one,"
                " CSVLogger is enough"
            )
        self.take(int(trainer.global_step), {**row, "epoch": float(trainer.current_epoch)})


class _Tap(Logger):  # type: ignore[misc]
    """A logger among the Trainer's own that passes each row to the callback."""

    def __init__(self, callback: AdvisorCallback) -> None:
        super().__init__()
        self._callback = callback

    @property
    def name(self) -> str:
        return "advisor"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self._callback.take(step or 0, metrics)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the callback has read them."""


def _is_held_out(name: str) -> bool:
    return canonical(name).startswith(("eval/", "test/"))


def facts_of(trainer: Any) -> dict[str, object]:
    """Return the facts of a run: planned steps and epochs."""
    facts: dict[str, object] = {}
    if planned := finite_steps(trainer.estimated_stepping_batches):
        facts["max_steps"] = planned
    if epochs := finite_steps(trainer.max_epochs):
        facts["num_train_epochs"] = epochs
    return facts


def config_of(trainer: Any, module: Any) -> dict[str, object]:
    """Return the config as found in Trainer, module and optimizer, under canonical keys."""
    values: dict[str, object] = {
        "clip_grad_norm.max_norm": float(trainer.gradient_clip_val or 0.0),
        "step_scheduler.grad_acc_steps": int(trainer.accumulate_grad_batches),
        "precision.amp": _PRECISIONS.get(str(trainer.precision).split("-")[0], "no"),
        "data.parallel": int(trainer.world_size),
    }
    if epochs := finite_steps(trainer.max_epochs):
        values["step_scheduler.num_epochs"] = epochs
    if trainer.max_steps > 0:
        values["step_scheduler.max_steps"] = int(trainer.max_steps)
    if trainer.optimizers:
        optimizer = trainer.optimizers[0]
        values["optimizer._target_"] = f"torch.optim.{type(optimizer).__name__}"
        for name in ("weight_decay", "eps", "betas"):
            if (value := optimizer.defaults.get(name)) is not None:
                values[f"optimizer.{name}"] = list(value) if isinstance(value, tuple) else value
        rate = optimizer.defaults.get("lr")
        if isinstance(rate, float):
            values["optimizer.lr"] = rate
    loader = trainer.train_dataloader
    size = getattr(loader, "batch_size", None)
    if isinstance(size, int):
        values["step_scheduler.local_batch_size"] = size
        whole = size * int(trainer.accumulate_grad_batches) * int(trainer.world_size)
        values["step_scheduler.global_batch_size"] = whole
    hparams = dict(getattr(module, "hparams", None) or {})
    rates = [hparams[name] for name in _RATES if isinstance(hparams.get(name), float)]
    if rates:
        values["optimizer.lr"] = rates[0]
    return values
