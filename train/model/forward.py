"""How a model runs on a Batch, found by trying; the loop calls `loss_sum`.

Documents end to end through our attention, and the loss head on label positions, are used where a
trial at loading shows that they give the numbers of the model's own forward pass; else documents
are padded, or the model makes its logits itself. Slower then, never different.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from train.data.types import IGNORE, Batch
from train.model.attention import NAME, documents
from train.model.head import HeadForm, sum_losses

TRIAL_LENGTHS = (7, 5, 5, 8)


@dataclass(frozen=True, slots=True)
class ForwardPlan:
    """``head`` None: the model makes the logits of the label positions itself. ``autocast``:
    the dtype of the computation where trained weights are kept in fp32."""

    layout: Literal["documents", "padded"]
    head: HeadForm | None
    autocast: torch.dtype | None = None


def loss_sum(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    """Return the sum of the token losses of a batch (fp32, differentiable), and how many tokens
    that is."""
    causal = causal_model(model)
    plan = getattr(causal, "forward_plan", None)
    if plan is None:
        plan = plan_forward(causal)
    device = next(causal.parameters()).device
    # worked out on the CPU, where the batch is: on a GPU it would have to wait for the answer
    places = (batch.labels[0] != IGNORE).nonzero()[:, 0]
    labels = batch.labels[0, places].to(device, non_blocking=True)
    with _autocast(device, plan.autocast):
        if plan.head is None:
            logits = _own_logits(causal, batch, plan, places)
            total = nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
        else:
            hidden = _hidden(causal, batch, plan, places)
            head = causal.get_output_embeddings()
            total = sum_losses(hidden, head, labels, plan.head)
    return total, batch.supervised


def causal_model(model: nn.Module) -> PreTrainedModel:
    """Return the transformers model under a peft wrapper."""
    unwrap = getattr(model, "get_base_model", None)
    return model if unwrap is None else unwrap()


def _autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast | nullcontext:
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def _hidden(
    causal: PreTrainedModel, batch: Batch, plan: ForwardPlan, places: torch.Tensor
) -> torch.Tensor:
    """Return the last hidden states at ``places`` of the row."""
    with _laid_out(causal, batch, plan) as inputs:
        states = causal.base_model(**inputs, use_cache=False)[0]
    return states.flatten(0, 1)[_flat_places(batch, plan, places).to(states.device)]


def _own_logits(
    causal: PreTrainedModel, batch: Batch, plan: ForwardPlan, places: torch.Tensor
) -> torch.Tensor:
    with _laid_out(causal, batch, plan) as inputs:
        logits = causal(**inputs, use_cache=False).logits
    return logits.flatten(0, 1)[_flat_places(batch, plan, places).to(logits.device)]


@contextmanager
def _laid_out(
    causal: PreTrainedModel, batch: Batch, plan: ForwardPlan
) -> Iterator[dict[str, torch.Tensor]]:
    """Return the model's arguments, with a layout for our attention if the plan says so."""
    device = next(causal.parameters()).device
    ids, positions = batch.input_ids.to(device), batch.position_ids.to(device)
    if plan.layout == "documents":
        with documents(lengths_of(batch)):
            yield {"input_ids": ids, "position_ids": positions}
        return
    lengths = lengths_of(batch)
    rows = nn.utils.rnn.pad_sequence(ids[0].split(lengths), batch_first=True)
    steps = torch.arange(rows.shape[1], device=device)
    mask = steps < torch.tensor(lengths, device=device)[:, None]
    yield {"input_ids": rows, "attention_mask": mask.long()}


def lengths_of(batch: Batch) -> tuple[int, ...]:
    return tuple(batch.cu_seqlens.diff().tolist())


def _flat_places(batch: Batch, plan: ForwardPlan, places: torch.Tensor) -> torch.Tensor:
    """Return where places of the row lie in the model's flattened output."""
    if plan.layout == "documents":
        return places
    borders = batch.cu_seqlens.long()
    row = torch.searchsorted(borders, places, right=True) - 1
    return row * int(borders.diff().max()) + places - borders[row]


def plan_forward(
    causal: PreTrainedModel, autocast: torch.dtype | None = None, own_attention: bool = False
) -> ForwardPlan:
    """Try the fast ways on a few tokens against the model's own; keep what agrees.

    ``own_attention``: the model's attention was asked for, ours is not tried.
    """
    batch = _trial_batch(causal.config.get_text_config().vocab_size)
    places = torch.arange(sum(TRIAL_LENGTHS))
    own = causal.config._attn_implementation
    training = causal.training
    causal.eval()
    try:
        with torch.no_grad(), _autocast(next(causal.parameters()).device, autocast):
            plan = _best_plan(causal, batch, places, own_attention)
    finally:
        causal.train(training)
    if plan.layout == "padded":
        causal.set_attn_implementation(own)
    plan = ForwardPlan(plan.layout, plan.head, autocast)
    causal.forward_plan = plan
    return plan


def _best_plan(
    causal: PreTrainedModel, batch: Batch, places: torch.Tensor, own_attention: bool
) -> ForwardPlan:
    want = _alone(causal, batch)
    form = _head_form(causal.config.get_text_config())
    head = form if form and _head_agrees(causal, batch, places, form) else None
    if own_attention:
        return ForwardPlan("padded", head)
    ours = ForwardPlan("documents", head)
    try:
        causal.set_attn_implementation(NAME)
        got = _own_logits(causal, batch, ours, places)
    except Exception:  # any way of not supporting it: the model's own attention stays
        return ForwardPlan("padded", head)
    return (
        ours
        if _close(got, want, causal) and not _leaks(causal, batch, ours, places)
        else (ForwardPlan("padded", head))
    )


def _alone(causal: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """Return the logits of each document in a forward pass of its own."""
    device = next(causal.parameters()).device
    pieces = batch.input_ids[0].to(device).split(TRIAL_LENGTHS)
    return torch.cat([causal(input_ids=ids[None], use_cache=False).logits[0] for ids in pieces])


def _head_agrees(
    causal: PreTrainedModel, batch: Batch, places: torch.Tensor, form: HeadForm
) -> bool:
    """Compare the head's formula on the last hidden states with the model's own logits."""
    head = causal.get_output_embeddings()
    if not isinstance(head, nn.Linear) or not head.weight.is_floating_point():
        return False
    plan = ForwardPlan("padded", None)
    logits = head(_hidden(causal, batch, plan, places)) * form.scale
    if form.softcap is not None:
        logits = torch.tanh(logits / form.softcap) * form.softcap
    return _close(logits, _own_logits(causal, batch, plan, places), causal)


def _head_form(config: object) -> HeadForm | None:
    """Return the scale and soft cap of the logits by the names that transformers' configs use."""
    scale = getattr(config, "logit_scale", None) or 1.0
    divisor = getattr(config, "logits_scaling", None) or 1.0
    cap = getattr(config, "final_logit_softcapping", None)
    return HeadForm(float(scale) / float(divisor), cap)


def _leaks(causal: PreTrainedModel, batch: Batch, plan: ForwardPlan, places: torch.Tensor) -> bool:
    """Return whether other tokens in the first document change the logits of the others."""
    other = _trial_batch(causal.config.get_text_config().vocab_size, seed=1)
    first = TRIAL_LENGTHS[0]
    ids = torch.cat([other.input_ids[:, :first], batch.input_ids[:, first:]], dim=1)
    changed = _batch_of(ids)
    before, after = (_own_logits(causal, b, plan, places) for b in (batch, changed))
    return not _close(after[first:], before[first:], causal)


def _close(got: torch.Tensor, want: torch.Tensor, causal: PreTrainedModel) -> bool:
    """Return whether two results agree as closely as the arithmetic allows.

    8-bit layers round depending on the rest of the batch.
    """
    if got.shape != want.shape:
        return False
    allowed = 1e-4 if want.dtype == torch.float32 else 5e-2
    if getattr(causal, "is_loaded_in_8bit", False):
        allowed = 0.2
    want = want.float()
    return bool((got.float() - want).norm() <= allowed * want.norm())


def _trial_batch(vocabulary: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    shape = (1, sum(TRIAL_LENGTHS))
    return _batch_of(torch.randint(vocabulary, shape, generator=generator))


def _batch_of(ids: torch.Tensor) -> Batch:
    borders = torch.tensor([0, *TRIAL_LENGTHS]).cumsum(0).int()
    positions = torch.cat([torch.arange(length) for length in TRIAL_LENGTHS])[None]
    count = len(TRIAL_LENGTHS)
    return Batch(ids, ids, positions, borders, count, count, ids.numel(), max(TRIAL_LENGTHS))
