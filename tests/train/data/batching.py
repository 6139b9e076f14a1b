"""Configs of small data sets, and what their batches hold."""

from __future__ import annotations

from itertools import pairwise

from train.config.types import (
    DatasetConfig,
    LoaderConfig,
    ModelConfig,
    PackingConfig,
    StepConfig,
    TrainConfig,
)

MAPPING = {"question": "q", "answer": "a"}


def rows(count):
    return [
        {"q": f"how many legs has {n}?" + " yes" * (n % 7), "a": f"{n} no"} for n in range(count)
    ]


def config(source, **changes):
    data = {"streaming": changes.pop("streaming", False), "split": changes.pop("split", None)}
    data |= {"seq_length": changes.pop("seq_length", None)}
    steps = StepConfig(
        local_batch_size=changes.pop("batch", 3), max_steps=changes.pop("max_steps", None)
    )
    packed = PackingConfig(packed_sequence_size=changes.pop("packed", 0))
    loader = LoaderConfig(num_workers=changes.pop("workers", 0), **changes.pop("loader", {}))
    return TrainConfig(
        model=ModelConfig(pretrained_model_name_or_path="x"),
        dataset=DatasetConfig(kind="columns", source=source, column_mapping=MAPPING, **data),
        step_scheduler=steps,
        packed_sequence=packed,
        dataloader=loader,
        **changes,
    )


def ids(batch):
    return batch.input_ids[0].tolist(), batch.labels[0].tolist(), batch.cu_seqlens.tolist()


def borders(batch):
    ends = batch.cu_seqlens.tolist()
    return list(pairwise(ends))


def texts_of(tokenizer, batch):
    return [tokenizer.decode(batch.input_ids[0][a:c].tolist()) for a, c in borders(batch)]
