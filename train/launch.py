"""Run a training from its command line: config, folder, training; errors are one line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from advisor.base.atomic import write_atomic
from train.config.command import USAGE, Command, parse
from train.config.dataset import OPT_IN
from train.config.device import check_world, fit_to_device
from train.config.load import Loaded, load_config
from train.config.rundir import CONFIG, RunPlace, changes, claim, find_run, lock, release, rewrite
from train.errors import MissingExtra, TrainConfigError, TrainError

if TYPE_CHECKING:
    from train.ranks.world import World

ADVISED = 3  # the exit status of a run that the advisor stopped
_EXTRA = ("torch", "transformers", "peft", "bitsandbytes", "datasets", "torchdata", "tokenizers",
          "safetensors", "accelerate", "triton")  # fmt: skip


def main(words: Sequence[str], env: Mapping[str, str]) -> int:
    """Run the command; return the exit status: 0, 2 for what a user can mend, 3 where the
    advisor stopped the run, 128 + signal."""
    try:
        status = _status(words, env)
        _flush()
    except BrokenPipeError:  # the reader of our output is gone
        _give_up()
        return 128 + signal.SIGPIPE
    return status


def _flush() -> None:
    """Drop lines that a full disk did not take: Python would end with a traceback."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        _give_up()


def _status(words: Sequence[str], env: Mapping[str, str]) -> int:
    try:
        return _run(parse(words), env)
    except TrainError as error:
        _say(str(error))
        return 2
    except KeyboardInterrupt:
        _say("stopped")
        return 128 + signal.SIGINT


def _give_up(stream: TextIO | None = None) -> None:
    """Redirect standard output to nowhere, so that its last flush succeeds."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())


def _answer(text: str) -> None:
    """Print what was asked for; ConfigError if the output is closed."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up()
        raise TrainConfigError(f"standard output cannot be written ({error.strerror})") from None


def _run(command: Command, env: Mapping[str, str]) -> int:
    if command.help:
        _answer(USAGE)
        return 0
    check_world(env)
    # Before torch comes. Threads of OpenMP that wait by spinning take the cores from those they
    # wait for as soon as something else runs too: 15 times slower beside one busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if command.allow_user_modules:
        env = {**env, OPT_IN: "1"}
    if (command.evaluate is not None or command.dry_run) and env.get("RANK", "0") != "0":
        return 0  # the first process does it
    if command.evaluate is not None:
        return _evaluate(command, command.evaluate, env)
    loaded, place = _prepare(command, env)
    if command.dry_run:
        return _dry_run(loaded)
    with _extra():
        import torch

        from train.ranks.world import open_world

    loaded = fit_to_device(loaded, torch.cuda.is_available())
    for notice in loaded.notices:
        _say(notice)
    if loaded.config.allow_user_modules:
        sys.path.append(str(Path.cwd()))  # at the end: what is installed goes first
    with open_world(loaded.config.distributed, env) as world, ExitStack() as held:
        if world.first:
            place = _take(command, loaded, place, held)
        taken = world.ranks.share(place and [str(place.run_dir), place.resume])
        return _train(loaded, RunPlace(Path(taken[0]), taken[1]), world)


def _take(command: Command, loaded: Loaded, place: RunPlace | None, held: ExitStack) -> RunPlace:
    """Return the run's folder, locked for as long as ``held`` is open."""
    if place is None:
        directory = Path(loaded.config.checkpoint.checkpoint_dir)
        place = claim(directory, command.run_dir, loaded.text)
        held.enter_context(lock(place.run_dir))
        return place
    held.enter_context(lock(place.run_dir))
    for change in changes(place.run_dir, loaded.tree):
        _say(f"resumed otherwise: {change}")
    rewrite(place.run_dir, loaded.text)
    return place


def _prepare(command: Command, env: Mapping[str, str]) -> tuple[Loaded, RunPlace | None]:
    """Return the config, and the run to resume (None: a new one)."""
    path, place = command.config, None
    if path is None:
        if command.resume is None:
            raise TrainConfigError("no config is given; see advise train --help")
        place = find_run(command.resume, command.run_dir or Path("checkpoints"))
        path = place.run_dir / CONFIG
    loaded = load_config(path, command.overrides, env)
    wanted = command.resume or loaded.config.checkpoint.restore_from
    if wanted is not None and place is None:
        folder = command.run_dir or Path(loaded.config.checkpoint.checkpoint_dir)
        place = find_run(wanted, folder)
    return loaded, place


def _train(loaded: Loaded, place: RunPlace, world: World) -> int:
    _say(f"{'going on with' if place.resume else 'run in'} {place.run_dir}")
    try:
        with _extra():
            from train import sft
            from train.quiet_libraries import quieten

            quieten()
            outcome = sft.run(loaded, place.run_dir, place.resume, _say, world)
    except BaseException:
        if world.first:
            release(place)
        raise
    if outcome.advice is not None and outcome.advice.kind == "stop":
        return ADVISED
    if outcome.signal is None:
        return 0
    return 128 + signal.Signals[outcome.signal]


def _evaluate(command: Command, checkpoint: Path, env: Mapping[str, str]) -> int:
    """Print the loss of a checkpoint; each sample's loss goes to --output."""
    with _extra():
        import torch

        from train.evaluate_checkpoint import evaluate, load
        from train.quiet_libraries import quieten

        quieten()
        loaded, folder = load(checkpoint, command.overrides, env)
        loaded = fit_to_device(loaded, torch.cuda.is_available())
        measured = evaluate(loaded.config, folder)
    if command.output is not None:
        try:
            write_atomic(command.output, measured.as_json())
        except OSError as error:
            raise TrainConfigError(
                f"--output {command.output}: cannot be written ({error.strerror})"
            ) from None
    count, tokens = len(measured.losses), sum(measured.tokens)
    _answer(f"loss {measured.loss:.6f} of {count} samples, {tokens} tokens: {folder}\n")
    return 0


def _dry_run(loaded: Loaded) -> int:
    with _extra():
        from train.dry_run import describe
        from train.quiet_libraries import quieten

        quieten()
        for line in describe(loaded):
            _answer(f"{line}\n")
    return 0


class _extra:
    """Turn a missing package of the extra into one line."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, ModuleNotFoundError):
            return
        name = (error.name or "").partition(".")[0]
        if name in _EXTRA:
            raise MissingExtra(
                f"training needs {name}: pip install 'finetune-advisor[train]'"
            ) from None


def _say(line: str) -> None:
    """Print a line, once for all processes."""
    if os.environ.get("RANK", "0") != "0":
        return
    try:
        sys.stderr.write(f"train: {line}\n")
        sys.stderr.flush()
    except OSError:  # a lost line must not take the work along, nor the exit status at the end
        _give_up(sys.stderr)
