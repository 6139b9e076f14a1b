"""Renews the outputs in docs/first-run.md from the real commands, for `make docs`.

The commands of the page run one after the other in a folder of their own. The results of training
are kept in docs/first-run/: the script, the first config, and each run's folder with a copy of its
config. A run is used only if that copy equals the current config.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from advisor.errors import AdvisorError

PAGE = "docs/first-run.md"
KEPT = "docs/first-run"
WIDTH = 100
_BLOCK = re.compile(r"^```\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)
_STALE = "train it anew, as docs/first-run/README.md says"


def first_run(root: Path) -> str:
    """Return the page with the current output of its commands."""
    text = (root / PAGE).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for file in ("train.py", "args.yaml"):
            shutil.copy(root / KEPT / file, place / file)
        return _BLOCK.sub(lambda block: _session(block[1], place, root / KEPT), text)


def _session(block: str, place: Path, kept: Path) -> str:
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    shown = [f"$ {command}\n{_run(shlex.split(command), place, kept)}" for command in commands]
    spaced = [text + "\n" * (text.count("\n") > 1) for text in shown[:-1]]
    return "```\n" + "".join([*spaced, *shown[-1:]]) + "```"


def _run(words: list[str], place: Path, kept: Path) -> str:
    if words[0] == "python":
        return _put_run(words[2], words[3], place, kept)
    if words[0] != "advise":
        raise AdvisorError(f"{PAGE}: {words[0]}: only `advise` and `python train.py` are run")
    done = subprocess.run(
        [sys.executable, "-m", "advisor", *words[1:]], cwd=place, encoding="utf-8",
        env={**os.environ, "COLUMNS": str(WIDTH), "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return "".join(f"{line}\n" for line in lines)


def _put_run(config: str, folder: str, place: Path, kept: Path) -> str:
    """Put a stored run in its place if it was trained with this config."""
    source = kept / Path(folder).name
    copies = list(source.glob("*.yaml"))
    if len(copies) != 1 or copies[0].read_bytes() != (place / config).read_bytes():
        raise AdvisorError(f"{source}: was not trained with the {config} of {PAGE}; {_STALE}")
    shutil.copytree(source, place / folder)
    return ""
