"""benchmarks/ is a package: scripts start, say what they need, and stand beside their results."""

from __future__ import annotations

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

from benchmarks.places import BENCHMARKS, RESULTS, ROOT
from tests.benchmarks.scripts import MODULES, SCRIPTS

NEED_TORCH = {"speed.callback", "speed.metrics", "speed.training_worker", "tools.make_base_model"}
COMMAND = re.compile(r"python -m benchmarks\.([a-z_.]+[a-z_])")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_starts_and_says_what_it_takes(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in NEED_TORCH:
        pytest.importorskip("torch")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPTS[name]), run_name="__main__")
    assert ended.value.code == 0
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_scripts_docstring_shows_its_command(name: str) -> None:
    doc = ast.get_docstring(ast.parse(SCRIPTS[name].read_text(encoding="utf-8"))) or ""
    file = SCRIPTS[name].relative_to(ROOT)
    assert f"python -m benchmarks.{name}" in doc or f"python {file}" in doc


def test_what_reads_the_shared_folder_says_so_in_its_first_line() -> None:
    silent = []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        takes = re.search(r"^from benchmarks.places import .*SHARED", text, re.MULTILINE)
        if takes and "../shared" not in text.partition("\n")[0]:
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_no_module_changes_where_modules_are_looked_for() -> None:
    assert [path for path in MODULES if "sys.path" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("table", sorted(RESULTS.glob("*.md")), ids=lambda path: path.stem)
def test_a_result_names_the_command_that_makes_it(table: Path) -> None:
    named = COMMAND.findall(table.read_text(encoding="utf-8"))
    assert named
    assert set(named) <= set(SCRIPTS)


def test_every_command_in_the_docs_is_a_script() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", BENCHMARKS / "README.md"]
    pages += [BENCHMARKS / "gallery" / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {name for page in pages for name in COMMAND.findall(page.read_text(encoding="utf-8"))}
    assert named <= set(SCRIPTS)


def test_the_readme_has_a_row_for_every_script_that_is_run_by_hand() -> None:
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    started_by_others = {"gallery.worker", "gallery.second_model", "peers.worker",
                         "speed.training_worker"}  # fmt: skip
    assert {name for name in SCRIPTS if f"`{name}" not in readme} == started_by_others
