"""The rows of a job (own or of ../shared/data), what its fault does to them, their tokens."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gallery.families import Job
from benchmarks.places import PRESETS, SHARED_DATA

# data set: file, question, context and answer columns
SETS = {
    "instructions": ("instructions", "instruction", "context", "response"),
    "dolly": ("dolly", "instruction", "context", "response"),
    "alpaca": ("alpaca", "instruction", "input", "output"),
    "gsm8k": ("gsm8k", "question", "", "answer"),
    "codealpaca": ("codealpaca_new", "instruction", "input", "output"),
    "medqa": ("medqa", "input", "", "output"),
}
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Width:
    """How much of a row is taken: characters of question, context and answer; tokens of the
    prompt and of the answer; and how many rows are held out."""

    characters: tuple[int, int, int]
    tokens: int
    held: int


NARROW, WIDE = Width((36, 14, 38), 16, 32), Width((80, 40, 80), 32, 60)


def width_of(job: Job) -> Width:
    return WIDE if job["wide"] else NARROW


def rows(job: Job, split: str) -> list[Row]:
    """Return the training rows or the held-out rows ("val"; "clean": never faulty)."""
    fault = job["rows_fault"]
    if split == "val" and fault == "leaked":
        return rows(job, "train")[: width_of(job).held]
    name, *columns = SETS[job["data"]]
    folder = PRESETS if name == "instructions" else SHARED_DATA
    suffix = ".jsonl" if split == "train" else ".val.jsonl"
    count = job["rows"] if split == "train" else width_of(job).held
    lines = (folder / f"{name}{suffix}").read_text(encoding="utf-8").splitlines()[:count]
    kept = [
        {column: str(row.get(column, ""))[:limit]
         for column, limit in zip(columns, width_of(job).characters, strict=True) if column}
        for row in map(json.loads, lines)
    ]  # fmt: skip
    return _faulty(kept, fault, columns[-1]) if split == "train" else kept


def _faulty(kept: list[Row], fault: str, answer: str) -> list[Row]:
    rng = random.Random(5)
    if fault == "shuffled":
        answers = [row[answer] for row in kept]
        rng.shuffle(answers)
        return [{**row, answer: text} for row, text in zip(kept, answers, strict=True)]
    if fault == "duplicated":
        return [kept[i % 24] for i in range(len(kept))]
    if fault == "corrupted":  # a sixth of the answers are bytes of something else
        return [{**row, answer: _garbage(rng)} if rng.random() < 1 / 6 else row for row in kept]
    return kept


def _garbage(rng: random.Random) -> str:
    return "".join(chr(rng.randrange(33, 126)) for _ in range(60))


def write_rows(job: Job, split: str) -> Path:
    """Write the rows where our trainer reads them."""
    out = Path(job["folder"]).parent / "rows" / f"{job['id']}.{split}.jsonl"
    out.parent.mkdir(exist_ok=True)
    out.write_text("".join(json.dumps(row) + "\n" for row in rows(job, split)))
    return out


def mapping(job: Job) -> dict[str, str]:
    _, question, context, answer = SETS[job["data"]]
    pairs = {"question": question, "context": context, "answer": answer}
    return {key: column for key, column in pairs.items() if column}


def encoded(job: Job, split: str, tokenizer: Any) -> list[dict[str, list[int]]]:
    """Return token ids and labels of a split; the "clean" one is encoded without the fault."""
    fault = "" if split == "clean" else job["code_fault"]
    found = [encode(row, job, tokenizer, fault, i) for i, row in enumerate(rows(job, split))]
    if job["rows_fault"] == "long" and split == "train":
        for i in range(0, len(found), 25):  # a row as long as the model takes
            together = [*found[i : i + 25], *found[i : i + 25]]
            found[i] = {key: [t for sample in together for t in sample[key]][:400]
                        for key in found[i]}  # fmt: skip
    return found


def encode(row: Row, job: Job, tokenizer: Any, fault: str, at: int) -> dict[str, list[int]]:
    *asked, answer = [column for column in SETS[job["data"]][1:] if column]
    most = width_of(job).tokens
    prompt = tokenizer(" ".join(row[key] for key in asked if row[key]) + " ")["input_ids"][:most]
    reply = [*tokenizer(row[answer])["input_ids"][:most], tokenizer.eos_token_id]
    if fault == "no-end":
        reply = reply[:-1]
    labels = [-100] * len(prompt) + reply
    if fault == "prompt":
        labels = prompt + reply
    if fault == "end-masked":
        labels[-1] = -100
    if fault == "masked-all" or (fault == "masked-part" and at % 10 < 9):
        labels = [-100] * len(labels)
    return {"input_ids": prompt + reply, "labels": labels}


def collate(samples: list[dict[str, list[int]]], supervise_padding: bool) -> dict[str, Any]:
    """One padded batch of tensors."""
    import torch

    longest = max(len(sample["input_ids"]) for sample in samples)
    if supervise_padding:
        longest = max(longest, 3 * NARROW.tokens)  # padded to a fixed length, as such scripts do
    fill = {"input_ids": 1, "labels": 1 if supervise_padding else -100}
    batch = {
        key: torch.tensor([s[key] + [value] * (longest - len(s[key])) for s in samples])
        for key, value in fill.items()
    }
    lengths = torch.tensor([len(sample["input_ids"]) for sample in samples])
    return {**batch, "attention_mask": (torch.arange(longest) < lengths[:, None]).long()}
