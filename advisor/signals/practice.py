"""Faults that practice adds to the guide: first losses, precision, new tokens, wrong sums."""

from __future__ import annotations

import math
import re

import numpy as np

from advisor.base.median import median
from advisor.base.numbers import finite
from advisor.findings import Evidence, Reading
from advisor.signals import run_size as facts
from advisor.signals.base import Signal, found, missing, need
from advisor.signals.choices import fp16
from advisor.signals.curves import View
from advisor.signals.loss import first
from advisor.signals.run_size import number, positive, text, unknown

# Model families pretrained in bfloat16, with values beyond the range of float16.
_BF16_NATIVE = re.compile(
    r"gemma|\bm?t5\b|flan-t5|\bul2\b|qwen-?[2-9]|llama-?[3-9]|mistral-?nemo|mixtral|phi-?[3-9]|olmo|"
    r"deepseek|minicpm|internlm|falcon|\byi-"
)
_VERSION = re.compile(r"(\d+)\.(\d+)")
# Models of other tasks than next-token prediction, whose first loss says nothing here:
# encoders, span-filling encoder-decoders, speech, vision, embeddings.
_OTHER_MODELS = re.compile(
    r"wav2vec|hubert|wavlm|whisper|\b(?:m|by|u|long-?)?t5\b|\bm?bart\b|pegasus|marian|opus-mt|nllb|"
    r"m2m|bert|electra|deberta|\bvit\b|\bdeit|detr|segformer|swin|clip|dino|\besm\d?|resnet|"
    r"convnext|layoutlm|\bbge|\b(?:e5|gte)\b|embed|rerank|reward|sentence-transformers|diffusion"
)
_OTHER_METRICS = re.compile(
    r"(?:^|[/_])(?:wer|cer|r?mse|mae|map|iou|mean_iou|r2|pearson\w*|spearman\w*|ndcg\S*|recall@\S*)$"
)
SMALL = 16_000  # tokens; models with fewer are toys, which may know next to nothing
_RESIZED = re.compile(r"[Rr]esiz\w+ .{0,20}embedding|new embeddings")
# of transformers, in which a loss summed over micro-batches was divided wrongly
_SUMS_WRONG = ((4, 46), (4, 47))


def vocabulary(view: View) -> float | None:
    size = number(view, "model.vocab_size").value or finite(view.run.facts.get("vocab_size"))
    return size if size and size > 1 else None


def first_of_guess(view: View) -> Reading:
    """First loss over that of a random guess among all tokens: about 1 for an untrained model."""
    size = vocabulary(view)
    if size is None:
        return missing("the size of the vocabulary is not known: give --set model.vocab_size=...")
    reading = first(view)
    if reading.value is None:
        return reading
    guess = math.log(size)
    said = f"begins at {reading.value:.4g}; a guess among {size:.0f} tokens has {guess:.4g}"
    return found(reading.value / guess, view.loss, 0, 0, said)


def small_vocabulary(view: View) -> Reading:
    """1 where the vocabulary is known to be so small that a first loss says little."""
    size = vocabulary(view)
    return Reading(float(size is not None and size < SMALL))


def over_eval(view: View) -> Reading:
    """Training loss over validation loss, at the evaluations of the second half of the run."""
    curve, held = view.loss, view.eval
    if why := need(curve, 6) or need(held, 2):
        return missing(why)
    late = held.steps >= curve.at(len(curve) // 2)
    if not late.any():
        return missing("no validation in the second half of the run")
    near = np.clip(np.searchsorted(curve.steps, held.steps[late]), 0, len(curve) - 1)
    if float(held.y[late].min()) <= 0:
        return missing("the validation loss is not above 0")
    ratio = median(curve.smooth[near] / held.y[late])
    said = f"training loss is {ratio:.2f} times the validation loss"
    return found(ratio, curve, int(near[0]), int(near[-1]), said)


def parts(view: View) -> Reading:
    """Micro-batches per optimiser step."""
    stated = positive(view, "step_scheduler.grad_acc_steps")
    if stated.value is not None:
        return stated
    whole, local = facts.global_batch(view), positive(view, "step_scheduler.local_batch_size")
    if whole.value is None or local.value is None:
        return stated
    devices = positive(view, "data.parallel").value or 1.0
    return Reading(max(1.0, whole.value / local.value / devices))


def sums_wrong(view: View) -> Reading:
    """1 where this version of transformers divides accumulated losses wrongly."""
    match = _VERSION.match(text(view, "model.transformers_version"))
    if match is None:
        return unknown("model.transformers_version")
    return Reading(float(_SUMS_WRONG[0] <= (int(match[1]), int(match[2])) <= _SUMS_WRONG[1]))


def pretrained(view: View) -> Reading:
    """1 where training is known to start from the weights of a trained model."""
    if view.run.facts.get("fp32_masters"):  # our own trainer loads a model, always
        return Reading(1.0)
    if text(view, "method") in ("lora", "dora", "qlora"):
        return Reading(1.0)
    return Reading(float(bool(text(view, "model.pretrained_model_name_or_path"))))


def other_task(view: View) -> Reading:
    """1 where the model or the metrics point to a task other than next-token prediction."""
    name = text(view, "model.pretrained_model_name_or_path")
    logged = (series.native or series.name for series in view.run.series.values())
    told = _OTHER_MODELS.search(name) or any(_OTHER_METRICS.search(n.lower()) for n in logged)
    return Reading(float(bool(told)))


def grown_vocabulary(view: View) -> Reading:
    """1 where tokens were added whose embeddings start at random and are trained."""
    saved = str(view.config.get("peft.modules_to_save") or "")
    trained = text(view, "method") == "full" or re.search(r"embed|wte|lm_head", saved)
    told = view.config.get("tokenizer.added_tokens") or any(
        _RESIZED.search(event.text) for event in view.run.events if event.kind == "warning"
    )
    return Reading(float(bool(told and (trained or not text(view, "method")))))


def bf16_model(view: View) -> Reading:
    """1 where fp16 is used on a model that, by its name, was pretrained in bf16."""
    half, name = fp16(view), text(view, "model.pretrained_model_name_or_path")
    if half.value is None or not name:
        return half if half.value is None else unknown("model.pretrained_model_name_or_path")
    known = _BF16_NATIVE.search(name)
    evidence = (Evidence("config", text=f"{name} trained in float16"),)
    return Reading(float(bool(half.value and known)), "", None, None, evidence)


def new_tokens(view: View) -> Reading:
    """1 where tokens are added while an adapter leaves the embeddings frozen."""
    added, method = view.config.get("tokenizer.added_tokens"), text(view, "method")
    if not method:
        return unknown("method")
    if not isinstance(added, list | tuple | str):
        return unknown("tokenizer.added_tokens")
    saved = str(view.config.get("peft.modules_to_save") or view.config.get("peft.target_modules"))
    trained = method == "full" or re.search(r"embed|wte|lm_head", saved)
    return Reading(float(bool(added) and not trained))


def constant_norm(view: View) -> Reading:
    """1 where the gradient norm keeps one value above 0: no data reach it."""
    curve = view.grad
    if why := need(curve, 5):
        return missing(why)
    return Reading(float(curve.y[0] > 0 and np.ptp(curve.y) <= 1e-6 * abs(float(curve.y[0]))))


def alive(view: View) -> Reading:
    """1 where gradient norms above 0 were logged, else 0."""
    return Reading(float(len(view.grad) > 0 and median(view.grad.y) > 0))


SIGNALS = {
    "loss.first_of_guess": Signal(
        "ratio", "first loss over that of a random guess", first_of_guess
    ),
    "loss.over_eval": Signal(
        "ratio", "training loss over validation loss in the second half", over_eval
    ),
    "grad.constant": Signal("0 or 1", "the gradient norm keeps one value above 0", constant_norm),
    "grad.alive": Signal("0 or 1", "gradient norms above 0 were logged", alive),
    "setup.accumulation": Signal("batches", "micro-batches per optimiser step", parts),
    "setup.small_vocabulary": Signal(
        "0 or 1", "the vocabulary is known to be small", small_vocabulary
    ),
    "setup.sums_wrong": Signal(
        "0 or 1", "this version of transformers divides accumulated losses wrongly", sums_wrong
    ),
    "setup.pretrained": Signal(
        "0 or 1", "training is known to start from a trained model", pretrained
    ),
    "setup.other_task": Signal("0 or 1", "the task is not next-token prediction", other_task),
    "setup.grown_vocabulary": Signal(
        "0 or 1", "new tokens were added and are trained", grown_vocabulary
    ),
    "setup.bf16_model": Signal(
        "0 or 1", "float16 is used on a model pretrained in bfloat16", bf16_model
    ),
    "setup.new_tokens": Signal(
        "0 or 1", "tokens were added, but the embeddings are not trained", new_tokens
    ),
}
