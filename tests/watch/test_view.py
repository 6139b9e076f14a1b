"""The live view: drawn for real terminals, narrow and wide, of sick and of healthy runs."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest
from rich.console import Console

from advisor.pipeline import Request
from advisor.report.live import screen_of
from advisor.rulebook.load import load_rules
from advisor.watch import Watcher
from tests.cli.program import DEMO
from tests.watch.following import LONGEST, append, rows


def drawn(*paths: Path, width: int = 80, height: int = 40, encoding: str = "utf-8") -> list[str]:
    watcher = Watcher(paths, load_rules(), Request())
    watcher.look()
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=width, height=height, highlight=False)
    console.print(screen_of(watcher, (), console))
    file.flush()
    return raw.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("height", [10, 24, 60])
def test_a_screen_fits_its_terminal(width: int, height: int) -> None:
    lines = drawn(DEMO, width=width, height=height)
    assert len(lines) < height
    assert all(len(line.rstrip()) <= width for line in lines)


def test_a_sick_run_shows_its_finding_its_evidence_and_what_to_do() -> None:
    text = "\n".join(drawn(DEMO / "overfits"))
    assert "error EP004 validation-rises" in text
    assert "eval/loss 1.181 at step 150: the minimum" in text
    assert "do Use the checkpoint of the minimum" in text
    assert "step 600 of 600 (100%)" in text


def test_a_healthy_run_shows_its_curves_and_values() -> None:
    text = "\n".join(drawn(DEMO / "healthy", width=120))
    assert "  ok" in text
    assert "train/loss and eval/loss" in text
    assert "train/grad_norm" in text
    assert "warning" not in text


def test_where_there_is_no_room_each_run_has_its_line_and_the_sick_come_first() -> None:
    lines = drawn(DEMO, width=200, height=12)
    runs = [line for line in lines if str(DEMO) in line]
    assert len(runs) == 5
    assert "failing" in runs[0]
    assert "ok" in runs[-1]


@pytest.mark.parametrize(("encoding", "mark"), [("utf-8", "…"), ("ascii", "...")])
def test_a_long_path_loses_its_beginning_and_the_status_stays(
    tmp_path: Path, encoding: str, mark: str
) -> None:
    folder = tmp_path.joinpath(*("a-long-name-of-a-folder" for _ in range(6)))
    shutil.copytree(DEMO / "healthy", folder / "healthy")
    shutil.copytree(DEMO / "out-of-memory", folder / "out-of-memory")
    lines = drawn(folder, width=60, height=10, encoding=encoding)
    runs = [line for line in lines if line.startswith(mark)]
    assert [line.split()[-1] for line in runs] == ["failing", "ok"]
    assert "out-of-memory" in runs[0] and "healthy" in runs[1]
    assert all(len(line) <= 60 for line in lines)


def test_a_terminal_without_braille_gets_no_curves_and_all_the_rest() -> None:
    text = "\n".join(drawn(DEMO / "overfits", width=60, encoding="ascii"))
    assert "EP004" in text
    assert "⠁" not in text


def test_a_path_that_is_waited_for_is_named(tmp_path: Path) -> None:
    assert any("waiting for" in line for line in drawn(tmp_path / "later"))


def test_a_real_terminal_gets_the_view_and_at_the_end_the_report(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60) + rows(61, 3, "nan"))
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [sys.executable, "-m", "advisor", "watch", "--interval", "0.1", str(log)]
    around = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env={**around, "TERM": "xterm-256color"}
    )
    os.close(slave)
    shown = bytearray()
    seen = threading.Event()

    def collect() -> None:
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the terminal has closed
                break
            if not piece:
                break
            shown.extend(piece)
            if b"NUM001" in shown:
                seen.set()

    reader = threading.Thread(target=collect, daemon=True)
    reader.start()
    assert seen.wait(LONGEST)
    process.send_signal(signal.SIGINT)
    assert process.wait(LONGEST) == 1
    reader.join(LONGEST)
    text = shown.decode()
    assert "\x1b[?1049h" in text and "\x1b[?1049l" in text  # its own screen, and back
    after = text.rpartition("\x1b[?1049l")[2]
    assert "1 run: 1 error" in after


def view_of(watcher: Watcher, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, height=40, highlight=False)
    with console.capture() as capture:
        console.print(screen_of(watcher, (), console))
    return capture.get()


def climbing(start: int, count: int) -> list[dict[str, float]]:
    """A loss that has learnt by step 100 and climbs from there on."""
    return [
        {"step": i, "loss": 1.2 + max(0, i - 100) * 0.06 + 0.01 * (i % 3), "learning_rate": 1e-3}
        for i in range(start, start + count)
    ]


def test_a_finding_on_screen_grows_with_its_evidence(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 100, planned=400) + climbing(101, 20))
    watcher = Watcher([log], load_rules(), Request())
    watcher.look()
    said = []
    for start in range(121, 220, 3):
        append(log, climbing(start, 3))
        watcher.look(at_all=True)
        (run,) = watcher.runs.values()
        for finding in run.standing:
            current = {f.code: f.message for f in run.report.findings} if run.report else {}
            assert finding.message == current.get(finding.code, finding.message)
        said += [f.message for f in run.standing if f.symptom == "divergence"]
    assert len(set(said)) > 5, said
    shown = " ".join(view_of(watcher).split())
    assert " ".join(said[-1].split()) in shown


def test_nothing_to_report_never_stands_beside_a_warning(tmp_path: Path) -> None:
    """A run that has spoken of nothing yet is not coloured by what waits."""
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 40, planned=400))
    watcher = Watcher([log], load_rules(), Request())
    for start in range(41, 400, 7):
        append(log, [{**row, "loss": 1.5 + row["loss"] % 0.3} for row in rows(start, 7)])
        watcher.look(at_all=True)
        text = view_of(watcher)
        loud = " warning " in text or "failing" in text or "  warning\n" in text
        assert not ("nothing to report" in text and loud), text
