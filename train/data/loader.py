"""Loaders: micro-batches in an order that is a pure function of seed and epoch.

So the state of a loader is two numbers, an epoch and a batch, and a run resumes to the bit with
any number of workers. A stream's state is a row number a worker.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

from train.data.collate import collate_documents
from train.data.order import shuffle
from train.data.store import SampleStore, StoredDocument
from train.data.types import Batch
from train.errors import DataError

State = Mapping[str, object]


class Loader(Protocol):
    """One pass over it is one epoch. ``batches_per_epoch`` is None for a stream."""

    @property
    def batches_per_epoch(self) -> int | None: ...

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass; a resumed pass continues only in its own epoch."""

    def __iter__(self) -> Iterator[Batch]: ...

    def state_dict(self) -> dict[str, object]:
        """Return where the pass stands, as plain numbers: after the batch that was given out
        last."""

    def load_state_dict(self, state: State) -> None:
        """Let the next pass continue from there."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How a loader hands out its rows."""

    batch_size: int
    shuffle: bool = False
    seed: int = 0
    workers: int = 0
    pin_memory: bool = False
    drop_last: bool = False


def open_loader(rows: Dataset[Any], plan: LoadPlan, **options: Any) -> StatefulDataLoader[Batch]:
    """torchdata's loader. Its generator is its own: drawing a seed for the workers from the
    global one would change dropout after a resume."""
    with warnings.catch_warnings():
        # it calls what newer torch has retired; nothing that a user could mend
        warnings.filterwarnings("ignore", "'set_vital' is deprecated")
        return StatefulDataLoader(
            rows,
            num_workers=plan.workers,
            pin_memory=plan.pin_memory,
            generator=torch.Generator().manual_seed(plan.seed),
            worker_init_fn=leave_signals_to_the_run,
            **options,
        )


def leave_signals_to_the_run(worker: int) -> None:
    """Let a worker outlive the signal that asks the run to save and end.

    A terminal and Slurm send it to all processes; torch ends the run with an error where a worker
    died of it. A SIGTERM of the run itself, with which it takes its workers along, ends them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_the_run, daemon=True).start()


def _end_with_the_run() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


class RowSet(Dataset[list[StoredDocument]]):
    """Rows of samples: ``members`` lists the samples of all rows, ``ends`` cuts the list."""

    def __init__(
        self, store: SampleStore, members: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> None:
        self.store, self.members, self.ends = store, members, ends

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, row: int) -> list[StoredDocument]:
        samples = self.members[self.ends[row] : self.ends[row + 1]]
        return [self.store.document(at) for at in samples.tolist()]


def single_rows(store: SampleStore, samples: NDArray[np.int64]) -> RowSet:
    return RowSet(store, samples, np.arange(len(samples) + 1))


def packed_rows(store: SampleStore, rows: Sequence[NDArray[np.int64]]) -> RowSet:
    ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return RowSet(store, np.concatenate(rows), ends)


@dataclass(frozen=True, slots=True)
class _Batches:
    """Row numbers of each batch, from one on."""

    order: NDArray[np.int64]
    size: int
    first: int
    count: int

    def __len__(self) -> int:
        return self.count - self.first

    def __iter__(self) -> Iterator[list[int]]:
        for at in range(self.first, self.count):
            yield self.order[at * self.size : (at + 1) * self.size].tolist()


class RowLoader:
    """Micro-batches of a data set that was read whole."""

    def __init__(self, rows: RowSet, plan: LoadPlan) -> None:
        self.rows, self.plan = rows, plan
        self.epoch = 0
        self._batch = 0  # given out in this epoch
        self._resume = 0

    @property
    def batches_per_epoch(self) -> int:
        whole, rest = divmod(len(self.rows), self.plan.batch_size)
        return whole + bool(rest and not self.plan.drop_last)

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self._batch, self._resume = epoch, 0, 0

    def __iter__(self) -> Iterator[Batch]:
        first, self._resume = self._resume, 0
        self._batch = first
        batches = _Batches(self._order(), self.plan.batch_size, first, self.batches_per_epoch)
        loader = open_loader(
            self.rows, self.plan, batch_sampler=batches, collate_fn=collate_documents
        )
        for batch in loader:
            self._batch += 1
            yield batch

    def _order(self) -> NDArray[np.int64]:
        if self.plan.shuffle:
            return shuffle(len(self.rows), self.plan.seed, self.epoch)
        return np.arange(len(self.rows))

    def state_dict(self) -> dict[str, object]:
        return {"epoch": self.epoch, "batch": self._batch, "rows": len(self.rows)}

    def load_state_dict(self, state: State) -> None:
        epoch, batch, rows = (int(str(state[name])) for name in ("epoch", "batch", "rows"))
        if rows != len(self.rows):
            raise DataError(
                f"resume: the data has {len(self.rows)} rows, the checkpoint saw {rows}; "
                "resume with the data, split and packing that it was started with"
            )
        self.epoch, self._batch, self._resume = epoch, batch, batch
