"""Training speed on the CPU beside transformers' Trainer and TRL.

python -m benchmarks.speed.training [--repeats 3] [--batches 12] [--only ours hand] [--method lora]
    [--write]

One thread, fp32, a small Llama of random weights, instruction-like samples of a fixed seed (long
tail of lengths, the second half of each supervised), everybody the same samples. TRL comes from the
package index into benchmarks/cache; the rest is in the trainer's own environment, which runs this.
Each run is a process of its own; the contestants take turns. CPU time of the loop, not wall time.
--write puts it into benchmarks/results/train_speed.md.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from benchmarks.places import CACHE, RESULTS, environment
from benchmarks.speed.training_worker import IGNORE, SAMPLES, Job

MADE = CACHE / "train"
PEERS = MADE / "peers"
TRL = "trl==1.16.0"
CONTESTANTS = {"lora": ("hf", "trl", "ours", "hand"), "full": ("hf", "ours", "hand")}
NAMES = {
    "hf": "transformers Trainer, padding", "trl": "TRL SFTTrainer, packing",
    "ours": "ours (train.sft.run)", "hand": "by hand, one file for this case",
}  # fmt: skip
VOCABULARY, LONGEST, BATCH = 16000, 512, 8
SHAPE = {
    "hidden_size": 320, "intermediate_size": 864, "num_hidden_layers": 6,
    "num_attention_heads": 5, "num_key_value_heads": 5, "vocab_size": VOCABULARY,
}  # fmt: skip
RATES = {"lora": 1e-3, "full": 1e-4}


def install() -> None:
    """TRL without its dependencies: it is to run on the same torch and transformers."""
    if (PEERS / "trl").is_dir():
        return
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(PEERS)]
    subprocess.run([*command, TRL], check=True)


def lengths(count: int, seed: int = 0) -> list[int]:
    """Log-normal, as instruction data is: median 100, one in twenty above 370."""
    draw = random.Random(seed)
    return [max(16, min(LONGEST, round(math.exp(draw.gauss(4.6, 0.8))))) for _ in range(count)]


def prepare(batches: int) -> Path:
    """Model, tokenizer and samples in the cache."""
    folder = MADE / f"llama-{batches}"
    if (folder / SAMPLES).exists():
        return folder
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False)).save_pretrained(folder)
    words = {f"w{i}": i for i in range(VOCABULARY)}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")),
        unk_token="w0", pad_token="w0", bos_token="w1", eos_token="w2",
    ).save_pretrained(folder)  # fmt: skip
    draw = random.Random(1)
    samples = []
    for length in lengths(batches * BATCH):
        # each word leads to one of four: something to learn
        ids = [draw.randrange(3, VOCABULARY)]
        while len(ids) < length:
            ids.append((ids[-1] * 7 + draw.randrange(4)) % 997 + 3)
        prompt = length // 2
        samples.append({"input_ids": ids, "labels": [IGNORE] * prompt + ids[prompt:]})
    (folder / SAMPLES).write_text(json.dumps(samples))
    return folder


def measure(name: str, job_file: Path) -> dict[str, object]:
    env = environment(PEERS, MKL_NUM_THREADS="1", HF_HUB_OFFLINE="1", NEMO_ENABLE_USER_MODULES="1")
    command = [sys.executable, "-m", "benchmarks.speed.training_worker", name, str(job_file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(method: str, folder: Path, repeats: int, only: Sequence[str]) -> dict[str, list]:
    job_file = MADE / f"job-{method}.json"
    job_file.write_text(json.dumps(asdict(Job(str(folder), method, BATCH, RATES[method], LONGEST))))
    results: dict[str, list] = {name: [] for name in CONTESTANTS[method] if name in only}
    for turn in range(repeats):
        for name, runs in results.items():
            run = measure(name, job_file)
            runs.append(run)
            rate = run["tokens"] / run["cpu"]
            print(f"{method} {turn + 1}/{repeats} {name}: {rate:.0f} tokens/s", flush=True)
    return results


def table(method: str, results: dict[str, list]) -> list[str]:
    """Medians; ratios are medians of the ratios within a turn."""
    lines = [
        f"## {'LoRA r=8 on all linear layers' if method == 'lora' else 'Full fine-tuning'}", "",
        "| | tokens per CPU second | of Trainer | of TRL | MiB over the model | of Trainer "
        "| last loss | loss after |", "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for name, runs in results.items():
        speed = median(r["tokens"] / r["cpu"] for r in runs)
        memory = median(r["added_mib"] for r in runs)
        cells = [f"{speed:.0f}", *(_ratio(results, name, peer) for peer in ("hf", "trl"))]
        cells += [f"{memory:.0f}", _memory_ratio(results, memory)]
        cells += [f"{runs[0]['losses'][-1]:.4f}", f"{runs[0]['after']:.4f}"]
        lines.append(f"| {NAMES[name]} | {' | '.join(cells)} |")
    if "hand" in results and "ours" in results:
        lines += ["", f"Ours over the hand-written loop: {_ratio(results, 'ours', 'hand')}."]
    return [*lines, ""]


def _ratio(results: dict[str, list], name: str, peer: str) -> str:
    if peer not in results:
        return ""
    pairs = zip(results[name], results[peer], strict=True)
    return f"{median(b['cpu'] / a['cpu'] for a, b in pairs):.2f}"


def _memory_ratio(results: dict[str, list], memory: float) -> str:
    if "hf" not in results:
        return ""
    return f"{memory / median(r['added_mib'] for r in results['hf']):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--method", nargs="+", default=["lora", "full"])
    parser.add_argument("--write", action="store_true", help="put it into results/")
    parsed = parser.parse_args()
    MADE.mkdir(parents=True, exist_ok=True)
    if "trl" in parsed.only:
        install()
    folder = prepare(parsed.batches)
    lines = [
        "# Training speed on the CPU", "",
        f"`python -m benchmarks.speed.training --write`, {TRL}, medians of {parsed.repeats} runs "
        f"in turn, one thread, fp32, {parsed.batches} steps of {BATCH} samples; Llama of hidden "
        f"size {SHAPE['hidden_size']}, {SHAPE['num_hidden_layers']} layers, vocabulary "
        f"{VOCABULARY}.",
        "",
    ]  # fmt: skip
    for method in parsed.method:
        lines += table(method, compare(method, folder, parsed.repeats, parsed.only))
    print("\n".join(lines))
    if parsed.write:
        (RESULTS / "train_speed.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
