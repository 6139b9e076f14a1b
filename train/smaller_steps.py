"""Retry steps and evaluations in smaller pieces after out of memory, if that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from train.config.types import SafetyConfig
from train.data.types import Batch
from train.errors import StepError
from train.evaluate import Evaluation, Evaluator
from train.out_of_memory import advice_for, halve, shape_of
from train.step import OutOfMemory, Stepper, StepResult

WriteEvent = Callable[[str, str, Mapping[str, object]], None]


@dataclass(frozen=True, slots=True)
class SmallerSteps:
    """Takes steps and evaluates; calls ``write_event`` with what did not fit."""

    stepper: Stepper
    evaluator: Evaluator
    safety: SafetyConfig
    write_event: WriteEvent

    def begin(self, parts: int) -> None:
        """Continue with each micro-batch in ``parts`` pieces."""
        self.stepper.parts = self.evaluator.parts = parts

    def step(
        self, number: int, window: Sequence[Batch], lr: float, seed: Callable[[], None]
    ) -> StepResult:
        """Take a step; ``seed`` resets the random numbers for a second try."""
        while True:
            try:
                return self.stepper.step(window, lr)
            except OutOfMemory as error:
                pieces = self._smaller(error, f"step {number}", self.stepper.parts)
            self.begin(pieces)
            seed()

    def evaluate(
        self, step: int, batches: Iterable[Batch], stopped: Callable[[], bool]
    ) -> Evaluation | None:
        """Evaluate after a step; None if a stop was requested meanwhile."""
        while True:
            try:
                return self.evaluator.evaluate(batches, stopped)
            except OutOfMemory as error:
                where = f"evaluation at step {step}"
                self.evaluator.parts = self._smaller(error, where, self.evaluator.parts)

    def _smaller(self, error: OutOfMemory, where: str, parts: int) -> int:
        """Report that memory ran out; return the number of pieces to try next, or raise."""
        shape = shape_of(error.batch)
        self.write_event("oom", f"{where}: out of memory on {shape.text} ({error})", shape.details)
        pieces = halve(error.batch, parts, self.safety)
        if pieces is None:
            advice = advice_for(error.batch, self.safety)
            raise StepError(f"{where}: out of memory on {shape.text}; {advice}") from None
        text = f"{where}: each micro-batch is now computed in {pieces} pieces"
        self.write_event("warning", text, {"parts": pieces})
        return pieces
