"""`advise train`: start the trainer, in a process of its own, from our own package only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import typer

from advisor.errors import AdvisorError

SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
_MAIN = Path(__file__).resolve().parents[2] / "train" / "__main__.py"
# Flags of torchrun that are taken from the words; all others are the trainer's.
_TORCHRUN = (
    "--nproc-per-node", "--nnodes", "--node-rank", "--master-addr", "--master-port",
    "--rdzv-backend", "--rdzv-endpoint", "--rdzv-id", "--standalone",
)  # fmt: skip


def train(context: typer.Context) -> None:
    """Fine-tune a model from a config: CONFIG [--section.key VALUE ...] [flags].

    With --nproc-per-node N it runs under torchrun. `advise train --help` lists the flags.

    Example: advise train lora-small --optimizer.lr 2e-5
    """
    words = list(context.args)
    if find_spec("torch") is None and not {"-h", "--help"} & set(words):
        raise AdvisorError("training needs torch: pip install 'finetune-advisor[train]'")
    _become(command(words))


def command(words: Sequence[str]) -> list[str]:
    """Return the process that trains.

    -P keeps the working directory off Python's path, and the trainer is named by its file: a
    train.py of the user's own is not run in its place.
    """
    launcher, rest = _split(words)
    start = [sys.executable, "-P"]
    if launcher:
        start += [str(_MAIN.with_name("elastic.py")), *launcher]
    return [*start, str(_MAIN), *rest]


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    launcher: list[str] = []
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, _ = word.partition("=")
        if name.replace("_", "-") not in _TORCHRUN or "." in name:
            rest.append(word)
            continue
        launcher.append(word)
        if not equals and name != "--standalone" and left:
            launcher.append(left.pop(0))
    return launcher, rest


def _become(words: Sequence[str]) -> NoReturn:
    """Turn into the process, so that signals reach it and its exit status is ours."""
    env = {**os.environ, "PYTHONSAFEPATH": "1"}
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(words[0], list(words), env)
    raise SystemExit(subprocess.run(words, env=env, check=False).returncode)
