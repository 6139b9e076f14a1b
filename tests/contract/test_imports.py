"""The house's import directions, and the light start: nothing heavy on the check path."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADVISOR = ROOT / "advisor"
HEAVY = ("torch", "transformers", "pandas", "scipy", "tensorboard", "matplotlib", "train")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
ROW = re.compile(r"^\| (\w+) \| (.+?) \| (.*?) ?\|$", re.MULTILINE)


def rooms() -> dict[str, str]:
    """Return room -> what it imports, from the ground up, as docs/architecture.md has it."""
    text = ARCHITECTURE.read_text(encoding="utf-8").split("## Rooms")[1].split("\n## ")[0]
    return {room: imports for room, _, imports in ROW.findall(text) if room != "room"}


RANK = {name: rank for rank, name in enumerate(rooms())}


def modules() -> list[Path]:
    return sorted(p for p in ADVISOR.rglob("*.py") if p != ADVISOR / "__init__.py")


def imported(path: Path) -> set[str]:
    """Every dotted name that a file imports, at the top or within a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def imports_of(room: str) -> str:
    """Return the rooms that a room imports from, in their order."""
    names = {name for path in modules() if part_of(path) == room for name in imported(path)}
    found = {name.split(".")[1] for name in names if name.startswith("advisor.")}
    return ", ".join(other for other in RANK if other in found - {room})


def part_of(path: Path) -> str:
    return path.relative_to(ADVISOR).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(ADVISOR).as_posix())
def test_a_module_imports_only_from_its_own_room_and_those_below(path: Path) -> None:
    own = part_of(path)
    for name in imported(path):
        if name.startswith("advisor."):
            other = name.split(".")[1]
            if other in RANK and other != own:  # else it is a name of the package itself
                assert RANK[other] < RANK[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(ADVISOR).as_posix())
def test_the_advisor_imports_neither_the_trainer_nor_its_packages(path: Path) -> None:
    if part_of(path) == "integrations":  # each imports its own framework, nothing imports them
        return
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"torch", "transformers", "pandas", "train", "peft", "datasets"}


def test_every_module_of_the_advisor_lives_in_a_room() -> None:
    assert {part_of(path) for path in modules()} == set(RANK)


@pytest.mark.parametrize("room", RANK)
def test_the_table_of_rooms_says_what_each_imports(room: str) -> None:
    assert rooms()[room] == imports_of(room), "python -m tests.contract.test_imports"


@pytest.mark.parametrize(
    "words",
    [
        ("check", "presets/demo", "--exit-zero", "--format", "json"),
        ("check", "presets/demo", "--exit-zero"),
        ("watch", "presets/demo", "--once", "--exit-zero"),
        ("watch", "presets/demo", "--once", "--exit-zero", "--json"),
        ("fix", "presets/demo/overfits", "--diff"),
        ("explain", "LR004"),
        ("rules",),
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_by_a_command(words: tuple[str, ...]) -> None:
    code = (
        "import sys, advisor.cli\n"
        f"sys.argv = ['advise', *{words!r}]\n"
        "try:\n    advisor.cli.main()\nexcept SystemExit as e:\n    assert not e.code, e.code\n"
        f"heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-500:]


def test_the_command_works_where_nothing_heavy_can_be_imported() -> None:
    block = "".join(f"sys.modules[{name!r}] = None\n" for name in HEAVY)
    code = (
        f"import sys\n{block}from advisor.cli import main\nsys.argv = ['advise', 'demo']\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert "LR004" in done.stdout


if __name__ == "__main__":
    ARCHITECTURE.write_text(
        ROW.sub(
            lambda row: (
                f"| {row[1]} | {row[2]} | {imports_of(row[1])} |" if row[1] in RANK else row[0]
            ),
            ARCHITECTURE.read_text(encoding="utf-8"),
        ),
        encoding="utf-8",
    )
