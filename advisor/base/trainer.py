"""How our trainer is started: as a separate process, from our own package only."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

MAIN = Path(__file__).resolve().parents[2] / "train" / "__main__.py"
# Flags passed to torchrun; all others go to the trainer.
_TORCHRUN = (
    "--nproc-per-node", "--nnodes", "--node-rank", "--master-addr", "--master-port",
    "--rdzv-backend", "--rdzv-endpoint", "--rdzv-id", "--standalone",
)  # fmt: skip


def command(words: Sequence[str]) -> list[str]:
    """Return the command line of a training process.

    -P keeps the working directory off Python's path, and the trainer is named by its file, so that
    a user's own train.py is not run in its place.
    """
    launcher, rest = _split(words)
    start = [sys.executable, "-P"]
    if launcher:
        start += [str(MAIN.with_name("elastic.py")), *launcher]
    return [*start, str(MAIN), *rest]


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
