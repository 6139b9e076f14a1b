"""The tiny base model and the instructions that ship: small, whole, and made by their scripts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BASE = ROOT / "presets" / "base"


def rows(name):
    lines = (ROOT / "presets" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_script_makes_the_instructions_that_ship(tmp_path):
    words = [sys.executable, "-m", "benchmarks.tools.make_instructions", "--out", tmp_path]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    for name in ("instructions.jsonl", "instructions.val.jsonl"):
        assert (tmp_path / name).read_bytes() == (ROOT / "presets" / name).read_bytes()


def test_no_prompt_is_in_both_files_and_every_row_has_an_answer():
    train, held = rows("instructions.jsonl"), rows("instructions.val.jsonl")
    assert (len(train), len(held)) == (600, 120)
    prompts = [{(row["instruction"], row["context"]) for row in part} for part in (train, held)]
    assert not prompts[0] & prompts[1]
    assert all(row["response"].strip() for row in (*train, *held))


def test_the_base_model_is_small_and_writes_text():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    assert sum(file.stat().st_size for file in BASE.iterdir()) <= 8 * 2**20
    model = transformers.AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(BASE)
    assert model.config.vocab_size == len(tokenizer)
    ids = torch.tensor([tokenizer("ROMEO:\nMy lord, I will be ruled by thee.")["input_ids"]])
    loss = model(input_ids=ids, labels=ids).loss.item()
    assert loss < 5.0  # a model that has learnt nothing is at ln(1024) = 6.9
    written = model.generate(ids, max_new_tokens=5, do_sample=False)
    assert written.shape[1] > ids.shape[1]
