"""A data set that is read as it is trained on: nothing of it is kept but one block to shuffle.

Where a stream stands is one number, its count of rows read: blocks are shuffled by a pure
function of seed, epoch and block, and a packed row is closed when the next sample does not fit,
so that no sample is ever held across a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch.utils.data import IterableDataset, get_worker_info

from train.data.collate import collate_documents
from train.data.loader import LoadPlan, State, open_loader
from train.data.order import shuffle
from train.data.reading import RowReader
from train.data.store import StoredDocument, document_of
from train.data.types import Batch, Row
from train.errors import DataError

BLOCK = 1024  # rows that are shuffled together
STEP = 64  # rows that are tokenised at once


class BatchStream(IterableDataset[Batch | DataError]):
    """Batches of one epoch; with workers each takes every n-th row."""

    def __init__(self, reader: RowReader, plan: LoadPlan, size: int, epoch: int) -> None:
        self.reader, self.plan, self.size, self.epoch = reader, plan, size, epoch
        self.position = 0

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]

    def __iter__(self) -> Iterator[Batch | DataError]:
        """Yield the batches, then raise an error if there was one: a worker's would be a
        traceback."""
        try:
            yield from self._batches()
        except DataError as error:
            yield error

    def _batches(self) -> Iterator[Batch]:
        rows: list[list[StoredDocument]] = []
        row: list[StoredDocument] = []
        read = self.position
        for number, document in self._documents(self.position):
            read = number + 1
            if row and not self._fits(row, document):
                rows.append(row)
                row = []
                if len(rows) == self.plan.batch_size:
                    self.position = number
                    yield collate_documents(rows)
                    rows = []
            row.append(document)
        rows += [row] if row else []
        self.position = read
        if rows and not (self.plan.drop_last and len(rows) < self.plan.batch_size):
            yield collate_documents(rows)

    def _fits(self, row: list[StoredDocument], document: StoredDocument) -> bool:
        return sum(len(d.ids) for d in [*row, document]) <= self.size

    def _documents(self, start: int) -> Iterator[tuple[int, StoredDocument]]:
        """Yield documents with the numbers of their rows, in the order of training."""
        for number, rows in self._blocks(start):
            for at in range(0, len(rows), STEP):
                part = self.reader.chunk(rows[at : at + STEP], number + at)
                for offset, sample in enumerate(part.samples):
                    if sample is not None:
                        yield number + at + offset, document_of(sample)

    def _blocks(self, start: int) -> Iterator[tuple[int, list[Row]]]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        block, skip = divmod(start, BLOCK)
        rows = islice(self.reader.source.read(block * BLOCK * workers), worker, None, workers)
        while part := list(islice(rows, BLOCK)):
            if self.plan.shuffle:
                order = shuffle(len(part), self.plan.seed, self.epoch, worker, block)
                part = [part[at] for at in order.tolist()]
            yield block * BLOCK + skip, part[skip:]
            block, skip = block + 1, 0


class StreamLoader:
    """Micro-batches of a stream; ``size`` is the packed row's, 0 without packing."""

    batches_per_epoch = None

    def __init__(self, reader: RowReader, plan: LoadPlan, size: int) -> None:
        self.reader, self.plan, self.size = reader, plan, size
        self.epoch = 0
        self._loader: Any = None
        self._last: Any = None  # where the last pass stood when it was left
        self._resume: Any = None

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch, self._last, self._resume = epoch, None, None

    def __iter__(self) -> Iterator[Batch]:
        stream = BatchStream(self.reader, self.plan, self.size, self.epoch)
        loader: Any = open_loader(stream, self.plan, batch_size=None, collate_fn=_as_it_is)
        if self._resume is not None:
            loader.load_state_dict(self._resume)
            self._resume = None
        self._loader = loader
        failed = ""
        try:
            for batch in loader:
                if isinstance(batch, DataError):
                    failed = str(batch)
                    break
                yield batch
        finally:  # the workers end with the pass, not with the run
            self._last = loader.state_dict()
            self._loader = loader = batch = None
        if failed:
            # the workers are let go of before raising: held by a traceback they would end up in
            # the garbage collector, which closes their queues first and then waits for them
            raise DataError(failed)

    def state_dict(self) -> dict[str, object]:
        if self._loader is not None:
            inner = self._loader.state_dict()
        else:
            inner = self._resume if self._resume is not None else self._last
        return {"epoch": self.epoch, "workers": self.plan.workers, "stream": inner}

    def load_state_dict(self, state: State) -> None:
        workers = int(str(state["workers"]))
        if workers != self.plan.workers and state["stream"] is not None:
            raise DataError(
                f"resume: the stream was read by {workers} workers, now by {self.plan.workers}: "
                f"set dataloader.num_workers to {workers}"
            )
        self.epoch = int(str(state["epoch"]))
        self._last, self._resume = None, state["stream"]


def _as_it_is(batch: Batch | DataError) -> Batch | DataError:
    return batch
