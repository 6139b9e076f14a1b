"""A Llama and its training step written by hand: what a framework is measured against.

No padding, one attention call a document, logits on label positions only with their gradient in
the forward pass, LoRA by addmm and RMSNorm in one autograd function each; nothing general, no
modules, no checks.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

Weights = dict[str, torch.Tensor]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[int]]
Linear = Callable[[torch.Tensor, str], torch.Tensor]
IGNORE = -100
CHUNK = 256  # rows of logits at a time


def load(folder: str, method: str, rank: int, alpha: int) -> tuple[Weights, Callable]:
    from safetensors.torch import load_file

    libc = ctypes.CDLL(None)
    libc.mallopt(-3, 2**30)
    libc.mallopt(-1, 2**30)
    config = json.loads((Path(folder) / "config.json").read_text())
    weights = load_file(Path(folder) / "model.safetensors")
    if method == "full":
        for w in weights.values():
            w.requires_grad_()
        return weights, lambda w, batch: _loss(w, batch, config, _plain(w))
    draw = torch.Generator().manual_seed(1)
    for i in range(config["num_hidden_layers"]):
        for kind in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o",
                     "mlp.gate", "mlp.up", "mlp.down"):  # fmt: skip
            name = f"model.layers.{i}.{kind}_proj"
            out, inside = weights[f"{name}.weight"].shape
            a = torch.randn(rank, inside, generator=draw) * inside**-0.5
            weights[f"{name}.A"] = a.requires_grad_()
            weights[f"{name}.B"] = torch.zeros(out, rank, requires_grad=True)
    return weights, lambda w, batch: _loss(w, batch, config, _adapted(w, alpha / rank))


def end_to_end(samples: list[dict[str, list[int]]]) -> Batch:
    lengths = [len(s["input_ids"]) for s in samples]
    ids = torch.tensor([i for s in samples for i in s["input_ids"]])
    labels = torch.tensor([x for s in samples for x in [*s["labels"][1:], IGNORE]])
    return ids, labels, torch.cat([torch.arange(n) for n in lengths]), lengths


def _plain(w: Weights) -> Linear:
    return lambda x, name: x @ w[f"{name}.weight"].T


def _adapted(w: Weights, scale: float) -> Linear:
    return lambda x, name: _Lora.apply(
        x, w[f"{name}.weight"], w[f"{name}.A"], w[f"{name}.B"], scale
    )


class _Lora(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, a, b, scale):
        h = x @ a.T
        y = (x @ w.T).addmm_(h, b.T, alpha=scale)
        ctx.save_for_backward(x, w, a, b, h)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx, g):
        x, w, a, b, h = ctx.saved_tensors
        gb = g @ b.T.contiguous().T
        gx = (g @ w).addmm_(gb, a, alpha=ctx.scale) if ctx.needs_input_grad[0] else None
        return gx, None, (gb.T @ x).mul_(ctx.scale), (h.T @ g).T.mul(ctx.scale), None


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h, w, labels):
        gh = torch.empty_like(h)
        gw = torch.zeros_like(w) if w.requires_grad else None
        total = torch.zeros(())
        for i in range(0, len(h), CHUNK):
            rows, index = h[i : i + CHUNK], labels[i : i + CHUNK, None]
            logits = rows @ w.T
            logits -= logits.amax(1, keepdim=True)
            chosen = logits.gather(1, index)
            mass = logits.exp_().sum(1, keepdim=True)
            total += (mass.log() - chosen).sum()
            logits.scatter_add_(1, index, -mass)
            torch.div(logits @ w, mass, out=gh[i : i + CHUNK])
            if gw is not None:
                gw.addmm_(logits.T, rows / mass)
        ctx.save_for_backward(gh, gw)
        return total

    @staticmethod
    def backward(ctx, g):
        gh, gw = ctx.saved_tensors
        return gh * g, None if gw is None else gw.mul_(g), None


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, eps):
        mean = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        inverse = mean.add_(eps).rsqrt_()
        ctx.save_for_backward(x, w, inverse)
        return (x * inverse).mul_(w)

    @staticmethod
    def backward(ctx, g):
        x, w, inverse = ctx.saved_tensors
        gw = (g * x).mul_(inverse).sum(0) if ctx.needs_input_grad[1] else None
        inner = g * w
        share = torch.linalg.vecdot(inner, x)[:, None].mul_(inverse.pow(3)).div_(-x.shape[-1])
        return inner.mul_(inverse).addcmul_(x, share), gw, None


def _turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def _loss(w: Weights, batch: Batch, config: dict, linear: Linear) -> torch.Tensor:
    ids, labels, positions, lengths = batch
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    eps = config["rms_norm_eps"]
    d = config["hidden_size"] // heads
    base = config["rope_parameters"]["rope_theta"]
    angles = positions[:, None] * base ** (-torch.arange(0, d, 2) / d)
    angles = torch.cat([angles, angles], -1)[:, None]
    cos, sin = angles.cos(), angles.sin()
    x = F.embedding(ids, w["model.embed_tokens.weight"])
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}"
        n = _Norm.apply(x, w[f"{at}.input_layernorm.weight"], eps)
        q, k, v = (
            linear(n, f"{at}.self_attn.{name}_proj").unflatten(-1, (-1, d)) for name in "qkv"
        )
        q, k = _turn(q, cos, sin), _turn(k, cos, sin)
        pieces = [
            F.scaled_dot_product_attention(
                *(t.transpose(0, 1)[None] for t in parts), is_causal=True, enable_gqa=heads != kv
            )[0].transpose(0, 1)
            for parts in zip(*(t.split(lengths) for t in (q, k, v)), strict=True)
        ]
        x = x + linear(torch.cat(pieces).flatten(1), f"{at}.self_attn.o_proj")
        n = _Norm.apply(x, w[f"{at}.post_attention_layernorm.weight"], eps)
        gate = F.silu(linear(n, f"{at}.mlp.gate_proj"))
        x = x + linear(gate * linear(n, f"{at}.mlp.up_proj"), f"{at}.mlp.down_proj")
    places = (labels != IGNORE).nonzero()[:, 0]
    final = _Norm.apply(x[places], w["model.norm.weight"], eps)
    return _Head.apply(final, w["lm_head.weight"], labels[places]) / len(places)
