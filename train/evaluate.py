"""The loss on held-out data: mean over supervised tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.nn import Module

from train.data.types import Batch
from train.device import free_memory, is_out_of_memory
from train.ranks.reduce import Reduce
from train.step import LossSum, OutOfMemory, split


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The mean loss in nats per token, and the number of supervised tokens it is taken over."""

    loss: float
    tokens: int


@dataclass(slots=True)
class Evaluator:
    """Evaluates a model; ``parts`` as in the Stepper."""

    model: Module
    loss_sum: LossSum
    device: torch.device
    parts: int = 1
    reduce: Reduce | None = None  # where each of several ranks has a share of the batches

    def evaluate(
        self, batches: Iterable[Batch], stopped: Callable[[], bool] = lambda: False
    ) -> Evaluation | None:
        """Return the loss over all batches; None if a stop was requested meanwhile."""
        training = self.model.training
        self.model.eval()
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        tokens = 0
        try:
            with torch.no_grad():
                for batch in batches:
                    if stopped():
                        return None
                    if batch.supervised:
                        total += self._sum(batch)
                        tokens += batch.supervised
        finally:
            self.model.train(training)
        if self.reduce is not None:
            self.reduce.sum_up([total])
            (tokens,) = self.reduce.totals([tokens])
        return Evaluation(float(total) / max(1, tokens), tokens)

    def _sum(self, batch: Batch) -> torch.Tensor:
        try:
            parts = [
                self.loss_sum(self.model, part)[0].double() for part in split(batch, self.parts)
            ]
            return torch.stack(parts).sum()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            text = str(error).split("\n")[0]
        free_memory(self.device)
        raise OutOfMemory(batch, text)
