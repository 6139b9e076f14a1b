"""The command line of ``python -m train``: our few flags apart from the overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from train.errors import TrainConfigError

USAGE = """\
usage: advise train CONFIG [--section.key VALUE ...] [flags]

Fine-tune a causal language model from a YAML config. Under torchrun: -m train CONFIG ...
CONFIG is a file, or the name of a preset; -c and --config name it too.

  --section.key VALUE     change one key of the config; also --section.key=VALUE
  --dry-run               print the resolved config, steps and tokens; train nothing
  --resume [RUN]          go on with the newest run, or with a run folder or checkpoint
  --run-dir DIR           write this run to DIR instead of checkpoint.checkpoint_dir
  --evaluate CHECKPOINT   train nothing: the loss of a run's checkpoint on its validation rows
  --output FILE           where --evaluate writes each sample's loss, as JSON
  --allow-user-modules    allow datasets of your own code, and code that comes with a model

A run never overwrites another: where checkpoint_dir holds one, the new run goes to a
subfolder run-2, run-3, ... An earlier run goes on only with --resume.

example: advise train lora-small --optimizer.lr 2e-5 --checkpoint.checkpoint_dir out/
"""
LATEST = "latest"
_SWITCHES = {
    "--dry-run": "dry_run",
    "--allow-user-modules": "allow_user_modules",
    "--help": "help",
    "-h": "help",
}


@dataclass(frozen=True, slots=True)
class Command:
    """The parsed command line."""

    config: Path | None = None
    overrides: tuple[str, ...] = ()
    resume: str | None = None
    run_dir: Path | None = None
    evaluate: Path | None = None
    output: Path | None = None
    switches: frozenset[str] = field(default_factory=frozenset)

    @property
    def dry_run(self) -> bool:
        return "dry_run" in self.switches

    @property
    def allow_user_modules(self) -> bool:
        return "allow_user_modules" in self.switches

    @property
    def help(self) -> bool:
        return "help" in self.switches


def parse(words: Sequence[str]) -> Command:
    """Parse the words of a command line."""
    return _Parser(list(words)).parse()


class _Parser:
    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.config: Path | None = None
        self.overrides: list[str] = []
        self.resume: str | None = None
        self.run_dir: Path | None = None
        self.evaluate: Path | None = None
        self.output: Path | None = None
        self.switches: set[str] = set()

    def parse(self) -> Command:
        while self.words:
            self._take(self.words.pop(0))
        return Command(
            self.config, tuple(self.overrides), self.resume, self.run_dir, self.evaluate,
            self.output, frozenset(self.switches),
        )  # fmt: skip

    def _take(self, word: str) -> None:
        flag, equals, value = word.partition("=")
        flag = flag.replace("_", "-") if "." not in flag else flag
        if flag in _SWITCHES and not equals:
            self.switches.add(_SWITCHES[flag])
        elif flag in ("-c", "--config"):
            self._set_config(value if equals else self._next(flag, "the path of a YAML file"))
        elif flag == "--run-dir":
            self.run_dir = Path(value if equals else self._next(flag, "a folder"))
        elif flag == "--evaluate":
            self.evaluate = Path(value if equals else self._next(flag, "a checkpoint's folder"))
        elif flag == "--output":
            self.output = Path(value if equals else self._next(flag, "a file"))
        elif flag == "--resume":
            self.resume = value if equals else self._find_resumed()
        elif word.startswith("--"):
            self._override(word)
        elif word.startswith("-") and len(word) > 1:
            raise TrainConfigError(
                f"{word}: unknown flag; overrides are written as --section.key value"
            )
        else:
            self._set_config(word)

    def _override(self, word: str) -> None:
        self.overrides.append(word)
        if "=" not in word and self.words and not self.words[0].startswith("--"):
            self.overrides.append(self.words.pop(0))

    def _next(self, flag: str, wanted: str) -> str:
        if not self.words or self.words[0].startswith("--"):
            raise TrainConfigError(f"{flag}: {wanted} must follow")
        return self.words.pop(0)

    def _find_resumed(self) -> str:
        """Return what to resume: `--resume config.yaml` means the newest run of that config."""
        if not self.words or self.words[0].startswith("-"):
            return LATEST
        word = self.words[0]
        if self.config is None and word.endswith((".yaml", ".yml")):
            return LATEST
        return self.words.pop(0)

    def _set_config(self, word: str) -> None:
        if self.config is not None:
            raise TrainConfigError(
                f"{word}: the config is {self.config} already; overrides are --section.key value"
            )
        self.config = Path(word)
