"""`advise train`: starts the trainer as a separate process, from our own package only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

import typer

from advisor.base.trainer import command
from advisor.errors import AdvisorError

SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def train(context: typer.Context) -> None:
    """Fine-tune a model from a config: CONFIG [--section.key VALUE ...] [flags].

    With --nproc-per-node N it runs under torchrun. `advise train --help` lists the flags.

    Example: advise train lora-small --optimizer.lr 2e-5
    """
    words = list(context.args)
    if find_spec("torch") is None and not {"-h", "--help"} & set(words):
        raise AdvisorError("training needs torch: pip install 'finetune-advisor[train]'")
    _become(command(words))


def _become(words: Sequence[str]) -> NoReturn:
    """Replace this process by the trainer, so that it gets our signals and we return its exit
    status."""
    env = {**os.environ, "PYTHONSAFEPATH": "1"}
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(words[0], list(words), env)
    raise SystemExit(subprocess.run(words, env=env, check=False).returncode)
