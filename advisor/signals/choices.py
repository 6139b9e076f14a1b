"""Signals on choices that are not numbers: splits, data types, targets, attention, optimiser."""

from __future__ import annotations

import math
import re

from advisor.dialects import habits_of
from advisor.findings import Evidence, Reading
from advisor.signals.base import Signal, missing
from advisor.signals.curves import View
from advisor.signals.run_size import number, text, unknown

_SLICE = re.compile(r"([^\[\]]+?)\s*(?:\[\s*(-?\d+%?)?\s*:\s*(-?\d+%?)?\s*\])?")
_ATTENTION = frozenset(
    [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "out_proj",
        "qkv_proj",
        "query",
        "key",
        "value",
        "query_key_value",
        "c_attn",
        "wq",
        "wk",
        "wv",
        "wo",
        "wqkv",
        "q",
        "k",
        "v",
        "o",
        "attn",
    ]
)
_FILES = (".json", ".jsonl", ".csv", ".parquet", ".txt", ".arrow")
_BF16 = {"bf16", "bfloat16", "torch.bfloat16"}
_FP16 = {"fp16", "float16", "torch.float16", "half"}

Span = tuple[str, float, float]  # unit ('%' or '' for rows), start, end


def _span(split: str) -> tuple[str, Span | None] | None:
    """Return the base split and its slice: ``train[:500]`` is ('train', rows 0 to 500).

    None for a split that we cannot read, and for slices counted from the end.
    """
    match = _SLICE.fullmatch(split or "train")
    if match is None or "+" in split:
        return None
    base, start, end = match.groups()
    if start is None and end is None:
        return base, None
    units = {"%" if bound.endswith("%") else "" for bound in (start, end) if bound}
    if len(units) != 1 or "-" in f"{start}{end}":
        return None
    low, high = (float(b.rstrip("%")) if b else None for b in (start, end))
    return base, (units.pop(), low or 0.0, math.inf if high is None else high)


def _overlap(one: Span | None, other: Span | None) -> bool | None:
    if one is None or other is None:
        return True
    if one[1] == other[1] == 0.0:
        return True  # both begin at the first row, whatever the unit
    if one[0] != other[0]:
        return None
    return max(one[1], other[1]) < min(one[2], other[2])


def leaked(view: View) -> Reading:
    """1 where validation samples come from rows that are also trained on."""
    train, held = (
        text(view, "dataset.path_or_dataset_id"),
        text(view, "validation_dataset.path_or_dataset_id"),
    )
    if not train or not held:
        return unknown(f"{'validation_dataset' if train else 'dataset'}.path_or_dataset_id")
    if train != held:
        return Reading(0.0)
    splits = text(view, "dataset.split"), text(view, "validation_dataset.split")
    if not any(splits) and not train.endswith(_FILES):
        return missing("neither dataset.split nor validation_dataset.split is known")
    one, other = _span(splits[0]), _span(splits[1])
    if one is None or other is None:
        return missing(f"the splits '{splits[0]}' and '{splits[1]}' cannot be compared")
    overlap = one[0] == other[0] and _overlap(one[1], other[1])
    if overlap is None:
        return missing(f"the splits '{splits[0]}' and '{splits[1]}' count in different units")
    said = f"trains on '{splits[0] or 'all'}' and validates on '{splits[1] or 'all'}' of {train}"
    evidence = (Evidence("config", text=said),) if overlap else ()
    return Reading(float(overlap), "", None, None, evidence)


def no_validation(view: View) -> Reading:
    """1 where the config asks for no validation and none was logged."""
    if any(name.startswith("eval/") for name in view.run.series):
        return Reading(0.0)
    config = view.config
    if not view.run.config.dialect and not any(key.startswith("dataset.") for key in config):
        return missing("no config: give --config")
    asked = any(key.startswith("validation_dataset.") for key in config)
    asked = asked or text(view, "validation.strategy") not in ("", "no")
    return Reading(float(not asked))


def no_checkpoints(view: View) -> Reading:
    """1 where checkpoints are switched off; trainers write them by default."""
    enabled = view.config.get("checkpoint.enabled")
    if isinstance(enabled, bool):
        return Reading(float(not enabled))
    if view.run.config.dialect or "step_scheduler.ckpt_every_steps" in view.config:
        return Reading(0.0)
    return unknown("checkpoint.enabled")


def attention_only(view: View) -> Reading:
    """1 where the adapter covers attention layers only."""
    method = text(view, "method")
    if method and method not in ("lora", "dora", "qlora"):
        return Reading(0.0)
    if view.config.get("peft.match_all_linear") is True:
        return Reading(0.0)
    targets = view.config.get("peft.target_modules")
    if isinstance(targets, str):
        targets = [part for part in re.split(r"[,\s|]+", targets) if part]
    if not isinstance(targets, list | tuple) or not targets:
        return unknown("peft.target_modules")
    last = {str(target).lower().strip("*").rsplit(".", 1)[-1] for target in targets}
    return Reading(float(last <= _ATTENTION))


def adam_with_decay(view: View) -> Reading:
    """1 where weight decay is used with plain Adam, which adds it to the gradient."""
    target, decay = text(view, "optimizer._target_"), number(view, "optimizer.weight_decay")
    if not target:
        return unknown("optimizer._target_")
    if decay.value is None:
        return decay
    name = target.rsplit(".", 1)[-1]
    return Reading(float(name in ("adam", "adam8bit", "fusedadam") and decay.value > 0))


def packed_across(view: View) -> Reading:
    """1 where packed samples can attend to each other: packing without an attention that separates
    them."""
    size = number(view, "packed_sequence.packed_sequence_size")
    if size.value is None:
        return size
    if size.value <= 0 or habits_of(view.run.config.dialect).masks_packed:
        return Reading(0.0)  # the guide's trainer masks between samples itself
    kind = text(view, "model.attn_implementation")
    if not kind:
        return unknown("model.attn_implementation")
    return Reading(float("flash" not in kind and "flex" not in kind and "varlen" not in kind))


def named_attention(view: View) -> Reading:
    """1 where the config names an attention kernel other than eager code and torch's SDPA."""
    kind = text(view, "model.attn_implementation")
    return Reading(float(kind not in ("", "eager", "sdpa", "none", "auto")))


def pure_bf16(view: View) -> Reading:
    """1 where all weights are trained in bf16 without fp32 masters."""
    if view.run.facts.get("fp32_masters"):
        return Reading(0.0)
    method, kind = text(view, "method"), text(view, "model.torch_dtype")
    if not method or not kind:
        return unknown("model.torch_dtype" if method else "method")
    return Reading(float(method == "full" and kind in _BF16))


def fp16(view: View) -> Reading:
    """1 where training uses fp16, 0 for another precision."""
    kind = text(view, "precision.amp") or text(view, "model.torch_dtype")
    return Reading(float(kind in _FP16)) if kind else unknown("precision.amp")


SIGNALS: dict[str, Signal] = {
    "setup.leaked": Signal("0 or 1", "validation rows are also trained on", leaked),
    "setup.no_validation": Signal("0 or 1", "no validation is configured or logged", no_validation),
    "setup.no_checkpoints": Signal("0 or 1", "checkpoints are off", no_checkpoints),
    "setup.attention_only": Signal(
        "0 or 1", "the adapter covers attention layers only", attention_only
    ),
    "setup.adam_with_decay": Signal(
        "0 or 1", "weight decay is set with plain Adam", adam_with_decay
    ),
    "setup.packed_across": Signal(
        "0 or 1", "packed samples can attend to each other", packed_across
    ),
    "setup.named_attention": Signal(
        "0 or 1", "the config names an attention kernel such as flash", named_attention
    ),
    "setup.pure_bf16": Signal("0 or 1", "all weights are in bf16, without fp32 masters", pure_bf16),
    "setup.fp16": Signal("0 or 1", "training uses fp16", fp16),
}
