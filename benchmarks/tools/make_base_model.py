"""Makes presets/base, a tiny Llama and its tokenizer, from three texts in ../shared/data.

    OMP_NUM_THREADS=1 nice -n 10 python -m benchmarks.tools.make_base_model --texts ../shared/data

About 17 CPU minutes on one thread; stops and resumes at any time. The last 6% of each text are
held out: neither the tokenizer nor the model sees them. 2% before that choose the best weights.
Prints bits per byte of the held-out text beside what xz needs for it.
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import re
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.places import CACHE, PRESETS, SHARED_DATA
from benchmarks.tools.base_tokenizer import build_tokenizer

TEXTS = ("text_alice.txt", "text_paradise_lost.txt", "text_tiny_shakespeare.txt")
HELD, DEV = 0.06, 0.02
VOCABULARY, WINDOW, BATCH = 1024, 512, 8
DOCUMENT = 1500  # characters; then the next blank line ends a document
BLANK_LINE = re.compile(r"\n *\n")
STEPS, PEAK, WARMUP, DROPOUT = 1100, 4e-3, 60, 0.1
HORIZON, COOLING = 1900, 200  # the cosine aims beyond the end; the last steps cool down to 0
EVERY = 50  # steps between a look at the dev slice and a saved state


@dataclass(frozen=True)
class Text:
    """One text, cut into three parts in its order."""

    name: str
    train: str
    dev: str
    held: str


def read_text(path: Path) -> Text:
    text = path.read_text(encoding="utf-8")
    held = round(len(text) * (1 - HELD))
    dev = round(len(text) * (1 - HELD - DEV))
    return Text(path.stem, text[:dev], text[dev:held], text[held:])


def documents(text: str) -> list[str]:
    """The text in pieces that end at blank lines, so that the model learns where texts end."""
    pieces, start = [], 0
    while start < len(text):
        cut = BLANK_LINE.search(text, start + DOCUMENT)
        end = cut.end() if cut else len(text)
        pieces.append(text[start:end])
        start = end
    return pieces


def token_stream(texts: list[Text], tokenizer: PreTrainedTokenizerFast) -> torch.Tensor:
    pieces = [piece for text in texts for piece in documents(text.train)]
    order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(0))
    ids: list[int] = []
    for at in order.tolist():
        ids += tokenizer(pieces[at])["input_ids"]
        ids.append(tokenizer.eos_token_id)
    return torch.tensor(ids)


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    for layer in model.model.layers:  # Llama has no dropout of its own; ten epochs want some
        for part in (layer.self_attn.o_proj, layer.mlp.down_proj):
            part.register_forward_hook(drop)
    return model


def drop(module: nn.Module, _: object, out: torch.Tensor) -> torch.Tensor:
    return nn.functional.dropout(out, DROPOUT, module.training)


def build_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95))


def rate(step: int, steps: int) -> float:
    if step < WARMUP:
        return PEAK * (step + 1) / WARMUP
    along = (step - WARMUP) / (HORIZON - WARMUP)
    cosine = 0.02 + 0.49 * (1 + math.cos(math.pi * along))
    return PEAK * cosine * min(1.0, (steps - step) / COOLING)


def windows(stream: torch.Tensor, step: int) -> torch.Tensor:
    """The batch of a step: a function of the step alone, so that a resumed run sees the same."""
    generator = torch.Generator().manual_seed(step)
    starts = torch.randint(0, len(stream) - WINDOW, (BATCH,), generator=generator)
    return torch.stack([stream[at : at + WINDOW + 1] for at in starts.tolist()])


@torch.no_grad()
def bits(model: nn.Module, tokenizer: PreTrainedTokenizerFast, text: str) -> float:
    """Bits of the whole text; every token but the first windows' sees half a window or more."""
    model.eval()
    ids = torch.tensor([tokenizer.eos_token_id, *tokenizer(text)["input_ids"]])
    total, half = 0.0, WINDOW // 2
    for start in range(0, len(ids) - 1, half):
        window = ids[max(0, start - half) : start + half + 1]
        new = min(half, len(ids) - 1 - start)
        logits = model(input_ids=window[None, :-1]).logits[0, -new:].float()
        total += nn.functional.cross_entropy(logits, window[-new:], reduction="sum").item()
    model.train()
    return total / math.log(2)


def train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    texts: list[Text],
    folder: Path,
    steps: int,
) -> None:
    """Leaves the weights that are best on the dev slices in ``folder``/best.pt."""
    stream, optimizer = token_stream(texts, tokenizer), build_optimizer(model)
    dev_bytes = sum(len(t.dev.encode()) for t in texts)
    begin, best, seconds = restore(model, optimizer, folder)
    print(f"{len(stream)} tokens, {steps} steps of {BATCH * WINDOW}, from step {begin}")
    model.train()
    for step in range(begin, steps):
        before = time.process_time()
        loss = train_step(model, optimizer, windows(stream, step), step, rate(step, steps))
        if step % EVERY == EVERY - 1 or step == steps - 1:
            dev = sum(bits(model, tokenizer, t.dev) for t in texts) / dev_bytes
            if dev < best:
                best = dev
                torch.save(model.state_dict(), folder / "best.pt")
            save(model, optimizer, folder, step + 1, best, seconds)
            print(f"step {step} loss {loss:.4f} dev {dev:.4f} bpb cpu {seconds:.0f} s", flush=True)
        seconds += time.process_time() - before


def train_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: torch.Tensor, step: int, lr: float
) -> float:
    torch.manual_seed(step)  # dropout, the same after a resume
    for group in optimizer.param_groups:
        group["lr"] = lr
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(input_ids=batch[:, :-1]).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def save(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    folder: Path,
    step: int,
    best: float,
    seconds: float,
) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    state |= {"step": step, "best": best, "seconds": seconds}
    torch.save(state, folder / "state.tmp")
    (folder / "state.tmp").replace(folder / "state.pt")


def restore(
    model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path
) -> tuple[int, float, float]:
    if not (folder / "state.pt").is_file():
        return 0, math.inf, 0.0
    state = torch.load(folder / "state.pt", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["best"], state["seconds"]


def compressed(data: bytes) -> int:
    """Bytes that ``xz -9`` makes of it."""
    return len(lzma.compress(data, preset=9))


def report(
    model: nn.Module, tokenizer: PreTrainedTokenizerFast, texts: list[Text]
) -> list[tuple[str, int, float, float, float]]:
    """Name, held-out bytes, and bits per byte: of the model, of xz on the held-out text alone,
    and of xz that has seen the training text (what the held-out text adds to it)."""
    rows, sums = [], [0.0, 0.0, 0.0, 0.0]
    for text in texts:
        held, known = text.held.encode(), (text.train + text.dev).encode()
        got = (
            len(held),
            bits(model, tokenizer, text.held),
            8.0 * compressed(held),
            8.0 * (compressed(known + held) - compressed(known)),
        )
        sums = [a + b for a, b in zip(sums, got, strict=True)]
        rows.append((text.name, len(held), *(b / len(held) for b in got[1:])))
    rows.append(("all", int(sums[0]), *(b / sums[0] for b in sums[1:])))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--texts", type=Path, default=SHARED_DATA)
    parser.add_argument("--work", type=Path, default=CACHE / "base")
    parser.add_argument("--out", type=Path, default=PRESETS / "base")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--report", action="store_true", help="only measure what is in --out")
    args = parser.parse_args()
    torch.set_num_threads(1)
    texts = [read_text(args.texts / name) for name in TEXTS]
    if not args.report:
        make(texts, args.work, args.out, args.steps)
    model = LlamaForCausalLM.from_pretrained(args.out, dtype=torch.float32)
    rows = report(model, PreTrainedTokenizerFast.from_pretrained(args.out), texts)
    print("text | held-out bytes | model bpb | xz -9 alone | xz -9 after the training text")
    for name, size, ours, alone, after in rows:
        print(f"{name} | {size} | {ours:.3f} | {alone:.3f} | {after:.3f}")
    sizes = sum(f.stat().st_size for f in args.out.iterdir())
    print(json.dumps({"bytes": sizes, "parameters": sum(p.numel() for p in model.parameters())}))


def make(texts: list[Text], work: Path, out: Path, steps: int) -> None:
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer([t.train for t in texts], VOCABULARY)
    model = build_model(tokenizer)
    train(model, tokenizer, texts, work, steps)
    model.load_state_dict(torch.load(work / "best.pt", weights_only=True))
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


if __name__ == "__main__":
    main()
