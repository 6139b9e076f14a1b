"""Makes the runs of a list of jobs, each in a forked process of its own.

    python -m benchmarks.gallery.worker JOBS.json

The processes are forked once torch is there. Beside a run FOLDER lies FOLDER.truth.json: what
happened, told by the training code.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import pkgutil
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.places import ROOT

LIMIT = 45  # CPU seconds of a run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("jobs", type=Path, help="a list that gallery.make wrote")
    make_all(json.loads(parser.parse_args().jobs.read_text()))


def make_all(jobs: list[dict[str, Any]]) -> None:
    import bitsandbytes
    import peft  # noqa: F401  the slow imports, once for all jobs
    import torch
    import transformers  # noqa: F401

    for module in pkgutil.walk_packages([str(ROOT / "train")], "train."):
        if module.name != "train.__main__":  # all at once: sources may change while runs go on
            importlib.import_module(module.name)
    for name in ("by_ours", "by_hf", "by_loop", "by_preference", "console"):
        importlib.import_module(f"benchmarks.gallery.{name}")
    from benchmarks.gallery import second_model

    torch.set_num_threads(1)
    # The packed kernels of bitsandbytes take multiples of 32 only; the plain ones take all.
    bitsandbytes.nn.modules.has_avx512bf16 = lambda: False
    second_model.make()
    gc.freeze()  # what is there before a fork stays shared
    for job in jobs:
        if not truth_path(job).exists():
            _run(job)


def truth_path(job: dict[str, Any]) -> Path:
    return Path(job["folder"] + ".truth.json")


def _run(job: dict[str, Any]) -> None:
    folder = Path(job["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, child = time.time(), os.fork()
    if not child:
        _child(job, folder)
    _, status = os.waitpid(child, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if status:
        truth_path(job).write_text(json.dumps({"failed": f"ended by status {status}"}))
    _clean(folder)
    with (folder.parent / "cpu.jsonl").open("a") as log:
        log.write(json.dumps({"id": job["id"], "cpu": round(seconds, 1)}) + "\n")
    print(f"{job['id']}: {seconds:.1f} s CPU, {time.time() - began:.0f} s", flush=True)


def _child(job: dict[str, Any], folder: Path) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT + 15, LIMIT + 20))
    with Path(f"{folder}.log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            truth = _train(job, folder)
        except BaseException as error:  # a process of its own: what happened goes to its log
            import traceback

            traceback.print_exception(error)
            truth = {"failed": f"{type(error).__name__}: {error}"}
        truth_path(job).write_text(json.dumps(truth))
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(0)


def _train(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    from benchmarks.gallery import by_hf, by_loop, by_ours, by_preference

    if job["step_fault"] in ("dpo", "grpo"):
        return by_preference.train(job, folder)
    trainers = {"ours": by_ours.train, "hf": by_hf.train, "loop": by_loop.train}
    return trainers[job["trainer"]](job, folder)


def _clean(folder: Path) -> None:
    """Keep the log and the config; weights, checkpoints and tokenizers go."""
    if not folder.exists():
        return
    for path in sorted(folder.rglob("*"), reverse=True):
        heavy = path.suffix in (".safetensors", ".pt", ".bin", ".jinja", ".md")
        if path.is_symlink() or heavy or path.name.startswith("tokenizer"):
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    events = folder / "events.jsonl"
    if events.exists():
        kept = [line for line in events.read_text().splitlines() if not _advised(json.loads(line))]
        events.write_text("\n".join(kept) + "\n")
    for path in folder.iterdir():
        if path.is_dir() and path.name.startswith(("epoch_", "checkpoint-")):
            shutil.rmtree(path)


def _advised(event: dict[str, Any]) -> bool:
    """What the advisor in our trainer said itself: the answer must not lie in the question."""
    return bool(event["kind"] == "finding" or "the advisor" in event["text"])


if __name__ == "__main__":
    main()
