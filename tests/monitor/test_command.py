"""The command for each finding: in the background, within bounds, and gone when it has to be."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path

from advisor.monitor.command import OnFinding


def python(code: str, *words: str | Path) -> str:
    return shlex.join([sys.executable, "-c", code, *map(str, words)])


def test_a_command_that_hangs_is_ended_with_all_that_it_has_begun(tmp_path: Path) -> None:
    number = tmp_path / "number"
    code = (
        "import subprocess, sys, time; child = subprocess.Popen(['sleep', '300']);"
        "open(sys.argv[1], 'w').write(str(child.pid)); time.sleep(300)"
    )
    told: list[str] = []
    command = OnFinding(python(code, number), seconds=3.0, sink=told.append)
    command.run("{}")
    command.close()
    assert len(told) == 1 and "ended after 3 seconds" in told[0]
    state = Path(f"/proc/{number.read_text()}/stat")
    for _ in range(100):  # its new parent has to take notice
        if not state.exists() or state.read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_command_is_of_a_session_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "session"
    command = OnFinding(
        python("import os, sys; open(sys.argv[1], 'w').write(str(os.getsid(0)))", out)
    )
    command.run("{}")
    command.close()
    assert int(out.read_text()) != os.getsid(0)  # Ctrl-C at the terminal is not for it


def test_what_a_slow_command_did_not_get_is_said(tmp_path: Path) -> None:
    told: list[str] = []
    command = OnFinding(python("import time; time.sleep(300)"), seconds=1.0, sink=told.append)
    for _ in range(12):
        command.run("{}")
    command.close()
    assert told and "ended after 1 seconds" in told[0]
    assert any("dropped at the end" in line for line in told)


def test_a_command_is_there_again_after_its_end(tmp_path: Path) -> None:
    out = tmp_path / "got"
    write = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read())"
    command = OnFinding(python(write, out))
    for text in ("first", "second"):
        command.run(text)
        command.close()
    assert out.read_text() == "firstsecond"
