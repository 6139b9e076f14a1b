"""docs/python.md: every snippet runs, in order, beside a bundled run, and prints what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import advisor

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page")
    shutil.copytree(ROOT / "presets" / "demo", place / "demo")
    return place


@pytest.fixture(scope="module")
def printed(place: Path) -> str:
    snippets = SNIPPET.findall(PAGE)
    assert len(snippets) > 5
    code = "\n".join(snippets)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warning is part of the page
    return done.stdout


def test_every_snippet_runs_and_prints_what_its_comments_say(printed: str) -> None:
    lines = printed.splitlines()
    for said in (
        "failing",
        "('--num_train_epochs', '3')",
        "num_train_epochs 10 -> 3 review ('EP004',)",
        "demo/overfits/second.yaml",
        "num_train_epochs True ",
        "nowhere: no such file or directory",
        "nonfinite",
        "live run  failing",
    ):
        assert said in lines, said
    assert sum(line.startswith("<Report demo/") for line in lines) == 5


def test_the_plan_of_the_page_is_written(printed: str, place: Path) -> None:
    assert "num_train_epochs: 3\n" in (place / "demo/overfits/second.yaml").read_text()


def test_the_page_names_what_there_is() -> None:
    named = set(re.findall(r"advisor\.(\w+)", "".join(SNIPPET.findall(PAGE))))
    assert named <= set(advisor.__all__)
    fields = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert len(fields) > 5
    assert all(hasattr(advisor.Report, name) for name in fields)
