"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from advisor.errors import AdvisorError
from advisor.readers.options import ReadOptions

Paths = Annotated[list[Path], typer.Argument(help="Run folders or log files.", show_default=False)]
MapOption = Annotated[
    list[str],
    typer.Option(
        "--map",
        metavar="NAME=COLUMN",
        help="Name a column that cannot be guessed, as train/loss=my_column.",
    ),
]
StepsOption = Annotated[
    str,
    typer.Option("--steps", metavar="A:B", help="Judge only these steps; either may be left out."),
]
ParallelOption = Annotated[
    int, typer.Option("--parallel", metavar="N", min=1, help="Runs at once, where possible.")
]
CommandOption = Annotated[
    str,
    typer.Option(
        "--command",
        metavar="WORDS",
        help="Another trainer: 'x --config {config} -o {run_dir}'.",
    ),
]
SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="State a fact that the log lacks, as data.samples=5000 or method=lora.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The config that the run was trained with."),
]
SelectOption = Annotated[
    str,
    typer.Option(
        "--select", metavar="CODES", help="Judge only these codes, beginnings, names or symptoms."
    ),
]
IgnoreOption = Annotated[str, typer.Option("--ignore", metavar="CODES", help="Leave these out.")]
RulesOption = Annotated[
    list[Path],
    typer.Option("--rules", metavar="FILE", help="Rules of your own: a file or a folder."),
]
SeverityOption = Annotated[
    str,
    typer.Option(
        "--severity", metavar="LEVEL", help="The mildest to report: info, warning, error."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Where the changed config goes."),
]
InPlaceOption = Annotated[
    bool,
    typer.Option("--in-place", help="Change the config itself; the old one is kept beside it."),
]
FailOnOption = Annotated[
    str,
    typer.Option(
        "--fail-on", metavar="LEVEL", help="Exit 1 at this or worse: info, warning, error, never."
    ),
]


@dataclass(frozen=True, slots=True)
class Given:
    """The options of a command line that say what to judge and how."""

    select: str = ""
    ignore: str = ""
    severity: str = ""
    config: Path | None = None
    facts: Sequence[str] = ()
    map_columns: Sequence[str] = ()
    steps: str = ""
    rules: Sequence[Path] = ()
    baseline: Path | None = None


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """Return NAME=VALUE words as a dictionary."""
    out: dict[str, str] = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or not name.strip() or not value.strip():
            raise AdvisorError(
                f"{option} {word}: give NAME=VALUE, as in {option} {_EXAMPLE[option]}"
            )
        out[name.strip()] = value.strip()
    return out


_EXAMPLE = {"--map": "train/loss=my_column", "--set": "data.samples=5000"}


_LAST = 2**62  # beyond any step


def steps(text: str) -> tuple[int | None, int | None] | None:
    """Return A:B as a pair; either side may be left out."""
    if not text:
        return None
    match = re.fullmatch(r"(\d*):(\d*)", text.strip())
    if match is None or text.strip() == ":":
        raise AdvisorError(f"--steps {text}: give A:B, A: or :B, as in --steps 100:500")
    first, last = (min(int(part[:19]), _LAST) if part else None for part in match.groups())
    if first is not None and last is not None and first > last:
        raise AdvisorError(f"--steps {text}: {first} lies after {last}")
    return first, last


def read_options(map_words: Sequence[str], steps_text: str) -> ReadOptions:
    return ReadOptions(pairs(map_words, "--map"), steps(steps_text))


def codes(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,\s]+", text) if word)
