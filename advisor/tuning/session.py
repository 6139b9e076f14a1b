"""The folder of a session: its lock, its settings, and the folders of its runs."""

from __future__ import annotations

import shutil
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import msgspec

from advisor.base.redact import HIDDEN, redact_text, restore
from advisor.dialects import tree as trees
from advisor.errors import AdvisorError, ConfigError
from advisor.tuning.launch import settle
from advisor.tuning.ledger import NAME, SCHEMA, Ledger
from advisor.tuning.writing import Start, read_start

RUNS, LOCK = "runs", "lock"


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of a session; ``--resume`` uses them again."""

    config: Path  # the user's file
    cwd: Path  # where its runs start
    command: str = ""  # of another trainer; '' for ours
    launcher: str = "local"
    launcher_words: tuple[str, ...] = ()  # arguments for torchrun
    holds_out: bool = False  # whether validation rows are taken from the training set


@dataclass(slots=True)
class Session:
    """A session opened by one loop; ``held`` is the file that holds its lock."""

    folder: Path
    ledger: Ledger
    setup: Setup
    start: Start
    held: IO[str] = field(repr=False)

    def place(self, folder: str) -> Path:
        """Return a run's folder; AdvisorError where a link leads out of the session."""
        place = self.folder / folder
        if not place.resolve().is_relative_to(self.folder.resolve()):
            raise AdvisorError(f"{place}: leads out of its session; begin another --session")
        return place

    def close(self) -> None:
        """Close the ledger, and release the lock."""
        self.ledger.close()
        self.held.close()


def is_session(folder: Path) -> bool:
    """Return whether a folder holds a session: whether it has a ledger."""
    return (folder / NAME).is_file()


def begin_session(folder: Path, setup: Setup, text: str) -> Session:
    """Begin a session in a folder that is new, empty, or holds a session without a finished run.

    ``text`` is the config to start from. AdvisorError for any other folder, or one in use.
    """
    start = read_start(setup.config, text)
    _make_folder(folder)
    held = _lock(folder)
    try:
        if is_session(folder):
            _clear(folder)
        ledger = Ledger.open(folder)
        ledger.note(
            schema=SCHEMA, config=str(setup.config), cwd=str(setup.cwd), command=setup.command,
            launcher=setup.launcher, launcher_words=setup.launcher_words,
            holds_out=setup.holds_out, text=text,
        )  # fmt: skip
    except BaseException:
        held.close()
        raise
    return Session(folder, ledger, setup, start, held)


def _make_folder(folder: Path) -> None:
    """Make the folder; AdvisorError where it holds anything but a session."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise AdvisorError(f"{folder}: cannot be a session's folder ({error.strerror})") from None
    if NAME not in names and names - {LOCK}:
        raise AdvisorError(f"{folder}: holds other files, and no session; give a new --session")


def resume_session(folder: Path, config: Path | None = None, command: str = "") -> Session:
    """Open a session to continue it; ``config``, if given, must be the session's own.

    The Ledger keeps no secrets, only their places: they are read again from the config's file and
    from ``command``. AdvisorError where there is no such session, or it is in use.
    """
    if not is_session(folder):
        raise AdvisorError(f"--resume: {folder} holds no session; leave out --resume to begin one")
    held = _lock(folder)
    try:
        ledger = Ledger.open(folder)
        setup, text = read_setup(ledger, folder)
        if config is not None and config.resolve() != setup.config:
            raise AdvisorError(
                f"--resume: {folder} is the session of {setup.config}; leave the config out, or"
                " begin another --session"
            )
        setup = _restore_command(setup, command)
        if HIDDEN in text:
            raise AdvisorError(
                f"{setup.config}: no longer holds the secrets that the session began with; put"
                " them back, or begin another --session"
            )
        return Session(folder, ledger, setup, read_start(setup.config, text), held)
    except BaseException:
        held.close()
        raise


def read_setup(ledger: Ledger, folder: Path) -> tuple[Setup, str]:
    """Return a session's settings and the text of its config, secrets restored if possible.

    AdvisorError where the Ledger is damaged or of another version.
    """
    said: Any = ledger.state
    if said("schema") is None or said("text") is None:
        raise AdvisorError(f"{folder}: its session never began; begin another one")
    if said("schema") != SCHEMA:
        raise AdvisorError(f"{folder}: a session of another version of advise; begin another one")
    noted = {name: said(name) for name in Setup.__dataclass_fields__}
    try:
        setup = msgspec.convert(noted, Setup, dec_hook=lambda kind, value: kind(value))
    except (ValueError, TypeError) as error:
        raise AdvisorError(f"{folder}: the settings of its session are damaged ({error})") from None
    return setup, restore_secrets(str(said("text")), setup.config)


def restore_secrets(text: str, config: Path) -> str:
    """Return a config's text with its hidden secrets filled in from the user's file.

    The text as it is where the file cannot be read or no longer holds them.
    """
    if HIDDEN not in text:
        return text
    try:
        return restore(text, trees.read_text(config)) or text
    except ConfigError:
        return text


def _restore_command(setup: Setup, command: str) -> Setup:
    if HIDDEN in setup.command and redact_text(command) == setup.command:
        return replace(setup, command=command)
    if HIDDEN in setup.command:
        raise AdvisorError(
            "--resume: its --command holds a secret, which is not kept; give it again, as it was"
        )
    if command:
        raise AdvisorError("--resume: --command and --set are those of the session")
    return setup


def write_config(place: Path, text: str, like: Path) -> None:
    """Write the config of a run, with the permissions of the user's own file ``like``."""
    if place.is_symlink():
        place.unlink()
    place.touch()
    if like.exists():
        place.chmod(stat.S_IMODE(like.stat().st_mode) | stat.S_IWUSR)
    place.write_text(text, encoding="utf-8", newline="")


def hide_secrets(config: Path) -> None:
    """Hide the secrets in the config of a run that has ended."""
    try:
        with config.open(encoding="utf-8", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return
    shown = redact_text(text)
    if shown != text:
        config.write_text(shown, encoding="utf-8", newline="")


def _clear(folder: Path) -> None:
    """Delete a session in which no run has ended; AdvisorError where one has."""
    ledger = Ledger.open(folder)
    ended = len(ledger.trials())
    ledger.close()
    if ended:
        raise AdvisorError(
            f"{folder}: holds a session of {ended} runs; --resume continues it, or give another"
            " --session"
        )
    for run in (folder / RUNS).glob("*"):
        settle(run)  # a killed loop may have left a run going
    shutil.rmtree(folder / RUNS, ignore_errors=True)
    for name in (f"{NAME}-wal", f"{NAME}-shm", NAME):  # the ledger last: it says whose folder it is
        (folder / name).unlink(missing_ok=True)


def _lock(folder: Path) -> IO[str]:
    """Lock the session; AdvisorError where another loop holds it."""
    try:
        import fcntl
    except ImportError:
        raise AdvisorError("tune needs Linux or macOS: it locks its session by flock") from None
    try:
        file = (folder / LOCK).open("a", encoding="utf-8")
    except OSError as error:
        raise AdvisorError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise AdvisorError(
            f"{folder}: another advise tune works on this session; wait for it, or end it first"
        ) from None
    return file


def folder_of(number: int, kind: str) -> str:
    """Return a run's folder relative to the session's, as ``runs/002-probe``."""
    name = "start" if number == 1 else kind
    return f"{RUNS}/{number:03d}-{name}"


def config_of(folder: Path, like: Path) -> Path:
    """Return the path of a run's config, with the suffix of the user's file ``like``."""
    return folder / f"config{like.suffix or '.yaml'}"


def find_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint folders of a run, sorted; of our trainer and of others."""
    found = [*folder.glob("run/epoch_*_step_*"), *folder.glob("run/**/checkpoint-*")]
    inside = folder.resolve()
    return sorted(p for p in found if p.is_dir() and _lies_in(p, inside) and not p.is_symlink())


def _lies_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder)


def drop_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a run; keep its logs and config."""
    for path in find_checkpoints(folder):
        shutil.rmtree(path, ignore_errors=True)
    for link in folder.glob("run/*"):
        if link.is_symlink() and not link.exists():
            link.unlink(missing_ok=True)
