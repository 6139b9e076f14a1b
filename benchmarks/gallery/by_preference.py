"""Healthy runs whose loss means something else: a real small DPO, and a GRPO-like loop."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from benchmarks.gallery import console
from benchmarks.gallery.by_loop import _write_config
from benchmarks.gallery.families import Job
from benchmarks.gallery.models import model_of, tokenizer_of, trained
from benchmarks.gallery.rows import collate, encoded

BETA, GROUP, LENGTH = 0.1, 4, 8


def train(job: Job, folder: Path) -> dict[str, Any]:
    import torch

    torch.manual_seed(job["seed"])
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(job)
    policy, reference = model_of(job), model_of(job)
    optimizer = torch.optim.AdamW(trained(policy), lr=job["lr"])
    data = encoded(job, "train", tokenizer)
    step_of = _dpo if job["step_fault"] == "dpo" else _grpo
    rows = []
    for step in range(job["steps"]):
        rate = job["lr"] * min(1.0, (step + 1) / 5)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, more = step_of(job, policy, reference, data, step)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(trained(policy), 1.0))
        optimizer.step()
        optimizer.zero_grad()
        rows.append({"step": step + 1, "loss": loss.item(), "lr": rate, "grad_norm": norm, **more})
    form = job["format"] if job["format"] != "tensorboard" else "jsonl"
    console.write(rows, form, folder)
    _write_config(job, folder)
    return {
        "steps": [row["step"] for row in rows], "losses": [row["loss"] for row in rows],
        "norms": [row["grad_norm"] for row in rows], "rates": [row["lr"] for row in rows],
        "evals": [], "before": None, "after": None, "ended": "",
    }  # fmt: skip


def _picked(job: Job, data: list[Any], step: int) -> list[Any]:
    return random.Random(f"{job['seed']}/{step}").sample(data, job["batch"])


def _dpo(
    job: Job, policy: Any, reference: Any, data: list[Any], step: int
) -> tuple[Any, dict[str, float]]:
    """The right answer against the answer of another row."""
    import torch

    chosen = _picked(job, data, step)
    others = [*chosen[1:], chosen[0]]
    rejected = [_with_answer(row, other) for row, other in zip(chosen, others, strict=True)]
    batch = collate([*chosen, *rejected], False)
    with torch.no_grad():
        before = _log_probabilities(reference, batch)
    gained = BETA * (_log_probabilities(policy, batch) - before)
    good, bad = gained.split(job["batch"])
    margin = good - bad
    return -torch.nn.functional.logsigmoid(margin).mean(), {
        "rewards/chosen": good.mean().item(),
        "rewards/rejected": bad.mean().item(),
        "rewards/margins": margin.mean().item(),
        "rewards/accuracies": (margin > 0).float().mean().item(),
    }


def _with_answer(row: dict[str, list[int]], other: dict[str, list[int]]) -> dict[str, list[int]]:
    asked = [token for token, label in zip(row["input_ids"], row["labels"], strict=True)
             if label == -100]  # fmt: skip
    answer = [label for label in other["labels"] if label != -100]
    return {"input_ids": asked + answer, "labels": [-100] * len(asked) + answer}


def _log_probabilities(model: Any, batch: dict[str, Any]) -> Any:
    """Of each row, the sum over its labels."""
    inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
    logits = model(**inputs).logits[:, :-1].log_softmax(-1)
    labels = batch["labels"][:, 1:]
    taken = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return (taken * (labels != -100)).sum(-1)


def _grpo(
    job: Job, policy: Any, reference: Any, data: list[Any], step: int
) -> tuple[Any, dict[str, float]]:
    """Groups of sampled answers; short words are rewarded; a penalty for leaving the base."""
    import torch

    asked = [
        row["input_ids"][: row["labels"].count(-100)] or [0] for row in _picked(job, data, step)
    ]
    samples, rewards = [], []
    for prompt in asked:
        for _ in range(GROUP):
            answer = _sampled(policy, prompt)
            samples.append({"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer})
            rewards.append(sum(token < 200 for token in answer) / LENGTH)
    batch = collate(samples, False)
    reward = torch.tensor(rewards).view(-1, GROUP)
    spread = reward.std(dim=1, keepdim=True)
    advantage = ((reward - reward.mean(dim=1, keepdim=True)) / (spread + 1e-4)).flatten()
    now = _log_probabilities(policy, batch)
    with torch.no_grad():
        base = _log_probabilities(reference, batch)
    gap = (base - now).clamp(-10, 10)
    kl = (gap.exp() - gap - 1) / LENGTH
    loss = -(advantage * (now - now.detach()).exp()).mean() + 0.04 * kl.mean()
    return loss, {"reward": reward.mean().item(), "reward_std": spread.mean().item(),
                  "kl": kl.mean().item(), "completion_length": float(LENGTH)}  # fmt: skip


def _sampled(policy: Any, prompt: list[int]) -> list[int]:
    import torch

    answer: list[int] = []
    with torch.no_grad():
        for _ in range(LENGTH):
            logits = policy(input_ids=torch.tensor([prompt + answer])).logits[0, -1]
            answer.append(int(torch.multinomial(logits.softmax(-1), 1)))
    return answer
