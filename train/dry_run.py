"""What a run would do, computed without training: config, steps, tokens, trained weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import nn
from transformers import PreTrainedModel

from train.config.checks import warmup_notice
from train.config.load import Loaded
from train.config.types import TrainConfig
from train.data.batches import Data, build_data
from train.model.adapters import with_adapter
from train.model.load import load_tokenizer
from train.model.outline import draw_outline, limits_of
from train.plan import StepPlan, plan_steps
from train.schedule import lr_at, plan_schedule

_SECTIONS = (
    "model", "step_scheduler", "lr_scheduler", "peft", "quantization", "packed_sequence",
    "dataloader", "validation_dataloader", "checkpoint", "safety", "advisor",
)  # fmt: skip
# Fields that the YAML gives under other names, or that come from the data.
_INNER = {"model.source", "model.config", "model.pretrained_model_name_or_path"}
_OTHER_NAMES = {"model.dtype": "model.torch_dtype"}


def describe(loaded: Loaded) -> Iterator[str]:
    """Yield the lines of a dry run; TrainError if config, data or model are wrong."""
    config = loaded.config
    yield "# the config, overrides included"
    yield loaded.text.rstrip("\n")
    yield "# defaults that hold beside it"
    for key, value in _defaults(loaded):
        yield f"#   {key}: {value}"
    tokenizer = load_tokenizer(config.model)
    outline = draw_outline(config.model)
    data = build_data(config, tokenizer, limits=limits_of(outline))
    plan = plan_steps(config.step_scheduler, data.train.batches_per_epoch)
    yield "# the run"
    for line in (
        *_data(data),
        *_steps(config, plan),
        _rates(config, plan),
        _weights(config, outline),
    ):
        yield f"#   {line}"
    told = (*loaded.notices, *data.notices, *data.warnings)
    for notice in (*told, warmup_notice(config, plan.total)):
        if notice:
            yield f"# note: {notice}"


def _defaults(loaded: Loaded) -> Iterator[tuple[str, object]]:
    """Yield dotted key and value of every default that is used; skip None."""
    config, tree = loaded.config, loaded.tree
    for name in _SECTIONS:
        section = getattr(config, name)
        if section is None:
            continue
        said = tree.get(name)
        said = said if isinstance(said, Mapping) else {}
        for field in dataclasses.fields(section):
            key, value = f"{name}.{field.name}", getattr(section, field.name)
            other = _OTHER_NAMES.get(key, key).rpartition(".")[2]
            if key in _INNER or value is None or value == () or {field.name, other} & set(said):
                continue
            yield key, value
    if "clip_grad_norm" not in tree:
        yield "clip_grad_norm.max_norm", config.max_norm
    if not {"seed", "rng"} & set(tree):
        yield "seed", config.seed


def _data(data: Data) -> Iterator[str]:
    facts = data.facts
    known = "of the first rows read: " if facts.probed else ""
    yield (
        f"data: {known}{facts.samples:,} samples, {facts.tokens:,} tokens, {facts.supervised:,} of"
        f" them supervised; half have up to {facts.lengths.get(50, 0)} tokens, the longest"
        f" {facts.lengths.get(100, 0)}"
    )
    if facts.packed_sequence_size:
        yield (
            f"packing: {facts.rows:,} rows of up to {facts.packed_sequence_size} tokens,"
            f" {facts.efficiency:.0%} full"
        )
    held = data.validation_facts
    yield f"validation: {held.samples:,} samples" if held else "validation: none"


def _steps(config: TrainConfig, plan: StepPlan) -> Iterator[str]:
    steps = config.step_scheduler
    yield (
        f"a step: {steps.global_batch_size} rows = {steps.local_batch_size} x {plan.accumulate}"
        " micro-batches"
    )
    epoch = "unknown (a stream)" if plan.per_epoch is None else f"{plan.per_epoch:,}"
    yield f"steps: {plan.total:,} in all, {epoch} an epoch"


def _rates(config: TrainConfig, plan: StepPlan) -> str:
    schedule = plan_schedule(config.lr_scheduler, config.optimizer.lr, plan.total)
    if config.lr_scheduler is None:
        return f"learning rate: {schedule.max_lr:g} throughout, without warm-up"
    return (
        f"learning rate: {lr_at(0, schedule):g} at the start, {schedule.max_lr:g} after"
        f" {schedule.warmup} steps, {lr_at(plan.total, schedule):g} at the end ({schedule.style})"
    )


def _weights(config: TrainConfig, outline: PreTrainedModel) -> str:
    """Return how many weights are trained, counted on a model without values."""
    whole = sum(parameter.numel() for parameter in outline.parameters())
    model: nn.Module = outline
    if config.peft is not None:
        with torch.device("meta"):
            model, _ = with_adapter(outline, config.peft)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return f"weights: {trained:,} trained ({config.method}), {trained / whole:.2%} of {whole:,}"
