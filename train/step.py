"""One optimiser step: gradients over a window of micro-batches, clipping, and the update."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import Module, Parameter
from torch.nn.utils import clip_grad_norm_, get_total_norm

from train.clock import Clock
from train.data.types import IGNORE, Batch
from train.device import free_memory, is_out_of_memory
from train.optim import set_rate
from train.ranks.reduce import Reduce

# Sum of the token losses (fp32, with gradient) and the number of supervised tokens. Batches stay
# on the CPU: it takes to the device what it needs there.
LossSum = Callable[[Module, Batch], tuple[torch.Tensor, int]]


class OutOfMemory(Exception):
    """Out of memory; ``batch`` is the micro-batch that did not fit, None for the update itself."""

    def __init__(self, batch: Batch | None, text: str) -> None:
        super().__init__(text)
        self.batch = batch


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of a step. ``loss`` is the mean over the supervised tokens of all its
    micro-batches, on all ranks."""

    loss: float  # nats per supervised token
    grad_norm: float  # 2-norm, before clipping
    clipped: bool  # grad_norm was above max_norm
    applied: bool  # False if the loss or grad_norm is not finite
    tokens: int  # over all ranks, like the counts below
    supervised: int  # tokens with a label
    rows: int
    samples: int


@dataclass(slots=True)
class Stepper:
    """Takes steps. ``parts``: the number of pieces in which each micro-batch is computed."""

    model: Module
    parameters: Sequence[Parameter]
    optimizer: torch.optim.Optimizer
    loss_sum: LossSum
    max_norm: float | None
    device: torch.device
    clock: Clock
    parts: int = 1
    reduce: Reduce | None = None  # where several ranks take each step together
    _counts: list[int] | None = None  # of the window over all ranks

    def step(self, window: Sequence[Batch], lr: float) -> StepResult:
        """Take a step over the micro-batches; OutOfMemory if one does not fit."""
        counts = self._count(window)
        loss, norm = self._gradients(window, counts[0])
        # The only read from the device in a step. The update must know whether these numbers
        # are finite, and the log needs them anyway: two numbers in one copy, no second wait.
        loss_value, norm_value = torch.stack((loss, norm)).tolist()
        applied = math.isfinite(loss_value) and math.isfinite(norm_value)
        if applied:
            set_rate(self.optimizer, lr)
            self._update()
        self.optimizer.zero_grad(set_to_none=True)
        self.clock.mark("optimizer")
        return StepResult(
            loss=loss_value,
            grad_norm=norm_value,
            clipped=self.max_norm is not None and norm_value > self.max_norm,
            applied=applied,
            supervised=counts[0],
            tokens=counts[1],
            rows=counts[2],
            samples=counts[3],
        )

    def _count(self, window: Sequence[Batch]) -> list[int]:
        """Return the window's supervised tokens, tokens, rows and samples, over all ranks."""
        if self._counts is not None:  # a second try: the others have counted and wait
            return self._counts
        taught = [batch for batch in window if batch.samples]
        counts = [
            sum(batch.supervised for batch in taught),
            sum(batch.input_ids.numel() for batch in taught),
            sum(batch.rows for batch in taught),
            sum(batch.samples for batch in taught),
        ]
        if self.reduce is not None:
            self._counts = counts = self.reduce.totals(counts)
            self.clock.mark("optimizer")  # waiting for the others is no work of this rank's
        return counts

    def _gradients(
        self, window: Sequence[Batch], supervised: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the window's mean loss and gradient norm, both still on the device."""
        loss = torch.zeros((), device=self.device)
        for batch in window:
            if batch.samples:  # one without any fills up a rank's share
                self._add_gradients(batch, max(1, supervised), loss)
        if self.reduce is not None:
            self._sum_up(self.reduce, loss)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if self.max_norm is None:
            norm = get_total_norm(gradients)
        else:
            norm = clip_grad_norm_(self.parameters, self.max_norm)
        return loss, norm.to(loss)

    def _sum_up(self, reduce: Reduce, loss: torch.Tensor) -> None:
        for parameter in self.parameters:
            if parameter.grad is None:  # the others may have one
                parameter.grad = torch.zeros_like(parameter)
        reduce.sum_up([loss, *(p.grad for p in self.parameters if p.grad is not None)])
        self._counts = None

    def _add_gradients(self, batch: Batch, tokens: int, loss: torch.Tensor) -> None:
        try:
            for part in split(batch, self.parts):
                value, _ = self.loss_sum(self.model, part)
                self.clock.mark("forward")
                mean = value / tokens
                mean.backward()  # type: ignore[no-untyped-call]
                loss += mean.detach()
                self.clock.mark("backward")
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            text = str(error).split("\n")[0]
        # outside of the except block: the traceback would keep the activations alive
        self.optimizer.zero_grad(set_to_none=True)
        free_memory(self.device)
        raise OutOfMemory(batch, text)

    def _update(self) -> None:
        try:
            self.optimizer.step()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(None, str(error).split("\n")[0]) from None


def can_split(batch: Batch, parts: int) -> bool:
    """Return whether a batch has more documents than ``parts``."""
    return len(batch.cu_seqlens) - 1 > parts


def split(batch: Batch, parts: int) -> Iterator[Batch]:
    """Yield the batch in at most ``parts`` pieces of about equal length, cut between documents.

    Documents do not see each other and the loss is a sum over tokens, so the pieces together
    mean what the batch means.
    """
    documents = len(batch.cu_seqlens) - 1
    if parts <= 1 or documents <= 1:
        yield batch
        return
    borders = batch.cu_seqlens.tolist()
    first = 0
    for part in range(1, min(parts, documents) + 1):
        left = min(parts, documents) - part  # pieces that still need a document each
        target = borders[-1] * part / min(parts, documents)
        last = first + 1
        while last < documents - left and borders[last] + borders[last + 1] <= 2 * target:
            last += 1
        last = documents if left == 0 else last
        yield _cut(batch, borders, first, last)
        first = last


def _cut(batch: Batch, borders: Sequence[int], first: int, last: int) -> Batch:
    begin, end = borders[first], borders[last]
    labels = batch.labels[:, begin:end]
    documents = len(borders) - 1
    return Batch(
        input_ids=batch.input_ids[:, begin:end],
        labels=labels,
        position_ids=batch.position_ids[:, begin:end],
        cu_seqlens=batch.cu_seqlens[first : last + 1] - begin,
        rows=batch.rows * last // documents - batch.rows * first // documents,
        samples=last - first,
        supervised=int((labels != IGNORE).sum()),
        longest=max(borders[i + 1] - borders[i] for i in range(first, last)),
    )
