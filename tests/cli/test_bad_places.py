"""Pipes, devices, sockets, folders, read-only files and lost outputs: one line, and no harm."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import DEMO, advise

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO / "overfits", tmp_path / "run"))


@pytest.fixture(params=["pipe", "device", "socket", "folder", "huge number", "deep", "bytes"])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / "odd.yaml"
    if request.param == "pipe":
        os.mkfifo(place)
    elif request.param == "device":
        return Path("/dev/zero")
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(str(place))
    elif request.param == "folder":
        place.mkdir()
    elif request.param == "huge number":
        place.write_text('{"version": ' + "4" * 400 + ', "x": ' + "5" * 6000 + "}")
    elif request.param == "deep":
        place.write_text('{"a":' * 3000)
    else:
        place.write_bytes(b"\xff\xfe\x00\x81" * 50)
    return place


@pytest.mark.parametrize(
    "words",
    [
        ["check", "RUN", "--baseline", "ODD"],
        ["check", "RUN", "--rules", "ODD"],
        ["check", "RUN", "--config", "ODD"],
        ["check", "RUN", "--write-baseline", "ODD"],
        ["rules", "--test", "ODD"],
        ["explain", "LR004", "--rules", "ODD"],
        ["preflight", "ODD"],
        ["fix", "RUN", "--config", "ODD"],
        ["tune", "ODD", "--dry-run", "--command", "true {config}"],
        ["sweep", "ODD", "--command", "true {config}"],
        ["report", "RUN", "--html", "ODD", "--force"],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_what_is_no_such_file_is_refused(words: list[str], run: Path, odd: Path) -> None:
    before = stat.S_IFMT(odd.stat().st_mode)
    content = odd.read_bytes() if odd.is_file() else b""
    places = {"RUN": str(run), "ODD": str(odd)}
    done = advise(*(places.get(word, word) for word in words), cwd=run.parent)
    assert stat.S_IFMT(odd.stat().st_mode) == before
    if "--html" in words and odd.is_file():
        return  # --force may replace any file
    said = [line for line in done.stderr.splitlines() if line.startswith("advise: ")]
    assert done.returncode == 2 or (done.returncode == 1 and "--config" in words), done.stderr
    assert said or "not read" in done.stdout or "left out" in done.stdout
    assert "fault of ours" not in done.stderr + done.stdout
    if odd.is_file():
        assert odd.read_bytes() == content


def test_a_settings_file_with_an_endless_number_is_told(run: Path) -> None:
    (run.parent / "advise.toml").write_text("exit-zero = " + "4" * 6000)
    done = advise("check", run, cwd=run.parent)
    assert done.returncode == 2
    assert "advise.toml" in done.stderr and "fault of ours" not in done.stderr


def test_only_a_baseline_is_overwritten_by_one(run: Path, tmp_path: Path) -> None:
    mine = tmp_path / "notes.json"
    mine.write_text('{"mine": 1}')
    done = advise("check", run, "--write-baseline", mine)
    assert done.returncode == 2 and "baseline" in done.stderr
    assert mine.read_text() == '{"mine": 1}'
    mine.unlink()
    assert advise("check", run, "--write-baseline", mine).returncode == 1
    assert advise("check", run, "--write-baseline", mine).returncode == 1  # one of ours is
    assert advise("check", run, "--baseline", mine).returncode == 0


def test_a_link_to_a_baseline_stays_one(run: Path, tmp_path: Path) -> None:
    link, real = tmp_path / "link.json", tmp_path / "of-all" / "real.json"
    real.parent.mkdir()
    link.symlink_to(real)
    done = advise("check", run, "--write-baseline", link)
    assert done.returncode == 2 and "is a link to no file" in done.stderr and not real.exists()
    assert advise("check", run, "--write-baseline", real).returncode == 1
    before = real.read_text()
    assert advise("check", run, "--write-baseline", link).returncode == 1
    assert link.is_symlink() and real.read_text() != before
    assert advise("check", run, "--baseline", link).returncode == 0


@pytest.mark.parametrize("digits", ["4" * 400, "4" * 6000])
def test_an_endless_number_of_an_option_is_no_fault_of_ours(run: Path, digits: str) -> None:
    words = ["--steps", f"{digits}:"], ["--steps", f":{digits}"], ["--set", f"lora.dim={digits}"]
    for option in words:
        done = advise("check", run, *option)
        assert "fault of ours" not in done.stderr + done.stdout
        assert done.returncode in (0, 1, 2)


def test_a_read_only_file_is_not_replaced(run: Path, tmp_path: Path) -> None:
    config = next(path for path in run.iterdir() if path.suffix in (".yaml", ".json", ".yml"))
    held = config.read_text()
    config.chmod(0o444)
    done = advise("fix", run, "--in-place")
    assert done.returncode == 2 and "read-only" in done.stderr
    assert config.read_text() == held and stat.S_IMODE(config.stat().st_mode) == 0o444
    assert not list(run.glob("*.before")) and not (run / "advise-fix.json").exists()
    page = tmp_path / "page.html"
    page.write_text("mine")
    page.chmod(0o444)
    done = advise("report", run, "--html", page, "--force")
    assert done.returncode == 2 and "read-only" in done.stderr
    assert page.read_text() == "mine"
    accepted = tmp_path / "accepted.json"
    advise("check", run, "--write-baseline", accepted)
    accepted.chmod(0o444)
    done = advise("check", run, "--write-baseline", accepted)
    assert done.returncode == 2 and "read-only" in done.stderr


COMMANDS = [
    ["check", "RUN"],
    ["check", "RUN", "--format", "json"],
    ["check", "RUN", "--format", "github"],
    ["watch", "RUN", "--once", "--json"],
    ["rules"],
    ["fix", "RUN", "--diff"],
    ["--help"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_output_that_takes_nothing_is_no_fault_of_ours(words: list[str], run: Path) -> None:
    line = [sys.executable, "-m", "advisor", *(str(run) if w == "RUN" else w for w in words)]
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as full:  # noqa: PTH123
            done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 2
        (told,) = done.stderr.splitlines()
        assert told.startswith("advise: standard output cannot be written")
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(line, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


def test_words_beside_the_answer_may_get_lost(run: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        for words, status in (["check", str(run)], 1), (["check", "nowhere"], 2):
            line = [sys.executable, "-m", "advisor", *words]
            done = subprocess.run(line, stdout=subprocess.PIPE, stderr=full, check=False)
            assert done.returncode == status
