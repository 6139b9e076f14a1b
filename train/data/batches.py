"""Build loaders from a config's data sections: read, split, pack, and report what was found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.config.types import DatasetConfig, LoaderConfig, TrainConfig
from train.data.defects import count_shared, leak_warnings, warnings_of
from train.data.facts import facts_of, length_notice, notices_of
from train.data.loader import Loader, LoadPlan, RowLoader, RowSet, packed_rows, single_rows
from train.data.order import shuffle
from train.data.packing import pack, packed_size
from train.data.reading import Notify, RowReader, Tally, add, check, open_reader, read_all
from train.data.split import count_shared_prompts, part_of, split
from train.data.store import SampleStore, StoreBuilder
from train.data.streaming import StreamLoader
from train.data.types import ANY_LENGTH, DataFacts, ModelLimits, Row
from train.errors import DataError, TrainConfigError

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Data:
    """What a run reads. ``notices`` are lines for the user, ``warnings`` say what is wrong."""

    train: Loader
    validation: Loader | None
    facts: DataFacts
    validation_facts: DataFacts | None = None
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def build_data(
    config: TrainConfig,
    tokenizer: Any,
    notify: Notify = lambda line: None,
    limits: ModelLimits = ANY_LENGTH,
) -> Data:
    """Return loaders of the training and the validation set; ``notify`` hears of long work."""
    inputs = _Inputs(config, tokenizer, notify, limits)
    reader, first = inputs.open(config.dataset)
    if config.dataset.streaming:
        return _build_stream(inputs, reader, first)
    asked = config.packed_sequence.packed_sequence_size
    store, tally = read_all(reader, notify)
    if config.validation_dataset is None and config.validation_split:
        samples, held = split(store.keys, config.validation_split)
        part = part_of(store.keys[held], config.validation_part)
        validation: _Set | None = _Set(store, held[part], Tally())
    else:
        samples = np.arange(len(store))
        validation = _validation_set(inputs)
    size = packed_size(asked, store.lengths[samples])
    train_plan = plan_of(config, config.dataloader, training=True)
    rows = lay_out(store, samples, size, train_plan)
    facts = facts_of(rows, tally, size)
    notices = [*reader.notices, *notices_of(facts, reader, "samples")]
    notices += length_notice(facts, limits)
    loader, other, more = _validation(config, validation, size, store.keys[samples])
    warnings = warnings_of(store, samples, tokenizer, tally.truncated)
    if validation is not None:
        both = count_shared(store, samples, validation.store, validation.samples)
        warnings += leak_warnings(both, len(validation.samples))
    loaders = RowLoader(rows, train_plan), loader
    return Data(*loaders, facts, other, (*notices, *more), tuple(warnings))


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What every data set of a run is read with."""

    config: TrainConfig
    tokenizer: Any
    notify: Notify
    limits: ModelLimits

    def open(self, dataset: DatasetConfig) -> tuple[RowReader, list[Row]]:
        packed = max(self.config.packed_sequence.packed_sequence_size, 0)
        allow = self.config.allow_user_modules
        return open_reader(dataset, self.tokenizer, allow, packed, self.limits)


@dataclass(frozen=True, slots=True)
class _Set:
    """A validation set that was read whole; ``reader`` None: a part of the training set."""

    store: SampleStore
    samples: Indices
    tally: Tally
    reader: RowReader | None = None


def _validation_set(inputs: _Inputs) -> _Set | None:
    asked = inputs.config.validation_dataset
    if asked is None:
        return None
    if asked.streaming and asked.limit_dataset_samples is None:
        raise TrainConfigError(
            "validation_dataset.limit_dataset_samples: a streamed validation set needs a limit"
        )
    reader, _ = inputs.open(asked)
    store, tally = read_all(reader, inputs.notify)
    return _Set(store, part_of(store.keys, inputs.config.validation_part), tally, reader)


def _validation(
    config: TrainConfig, found: _Set | None, size: int, trained: NDArray[np.uint64]
) -> tuple[Loader | None, DataFacts | None, list[str]]:
    if found is None:
        return None, None, []
    plan = plan_of(config, config.validation_dataloader, training=False)
    rows = lay_out(found.store, found.samples, size, plan)
    facts = facts_of(rows, found.tally, size)
    notices = list(found.reader.notices) if found.reader else []
    notices += notices_of(facts, found.reader, "validation samples")
    shared = count_shared_prompts(trained, found.store.keys[found.samples])
    if shared:
        notices.append(
            f"{shared} of {len(found.samples)} validation samples have a prompt that is also "
            "trained on: validation loss will look too good; validation_split keeps them apart"
        )
    return RowLoader(rows, plan), facts, notices


def plan_of(config: TrainConfig, loader: LoaderConfig, training: bool) -> LoadPlan:
    size = loader.batch_size if loader.batch_size and not training else None
    return LoadPlan(
        batch_size=size or config.step_scheduler.local_batch_size,
        shuffle=training if loader.shuffle is None else loader.shuffle,
        seed=config.seed,
        workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        drop_last=loader.drop_last,
    )


def lay_out(store: SampleStore, samples: Indices, size: int, plan: LoadPlan) -> RowSet:
    """Return one sample a row, or packed rows of ``size`` tokens."""
    if not size:
        rows = single_rows(store, samples)
    else:
        order = samples[shuffle(len(samples), plan.seed)] if plan.shuffle else samples
        rows = packed_rows(store, pack(store.lengths, size, order))
    if plan.drop_last and len(rows) < plan.batch_size:
        raise DataError(
            f"dataloader.drop_last: {len(rows)} rows are fewer than one batch of "
            f"{plan.batch_size}: nothing would be left; set it to false"
        )
    return rows


def _build_stream(inputs: _Inputs, reader: RowReader, first: list[Row]) -> Data:
    config = inputs.config
    if config.step_scheduler.max_steps is None:
        raise TrainConfigError(
            "step_scheduler.max_steps: a streamed data set has no known end; give max_steps"
        )
    if config.validation_split and config.validation_dataset is None:
        raise TrainConfigError(
            "validation_split: a stream is not split; give a validation_dataset, or read the "
            "data whole"
        )
    store, tally = _probe(reader, first)
    asked = config.packed_sequence.packed_sequence_size
    size = packed_size(asked, store.lengths)
    plan = plan_of(config, config.dataloader, training=True)
    notices = list(reader.notices)
    if config.dataset.kind == "user" and plan.workers:
        plan = replace(plan, workers=0)
        notices.append(
            "dataloader.num_workers: a stream of your own is read in the main process, because "
            "it might deal out its rows to workers by itself"
        )
    facts = facts_of(lay_out(store, np.arange(len(store)), size, plan), tally, size, probed=True)
    validation = _validation_set(inputs)
    notices += notices_of(facts, reader, "of the first samples")
    notices += length_notice(facts, inputs.limits)
    loader, other, more = _validation(config, validation, size, store.keys)
    return Data(StreamLoader(reader, plan, size), loader, facts, other, (*notices, *more))


def _probe(reader: RowReader, first: list[Row]) -> tuple[SampleStore, Tally]:
    """Return the samples of a stream's first rows: what is wrong there is wrong everywhere."""
    builder = StoreBuilder()
    part = reader.chunk(first, 0)
    add(builder, part)
    check(reader, part.tally)
    return builder.build(), part.tally
