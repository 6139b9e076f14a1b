"""The house's import directions, and the light start: nothing heavy on the check path."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADVISOR = ROOT / "advisor"
HEAVY = ("torch", "transformers", "pandas", "scipy", "tensorboard", "matplotlib", "train")
# From the ground up: a module imports from layers below its own, and from its own package.
LAYERS = (
    ("credentials",),
    (
        "atomic",
        "errors",
        "finite",
        "median",
        "paths",
        "version",
        "symptoms",
        "causes",
        "redact",
        "strict_yaml",
        "trainer",
    ),
    ("run",),
    ("findings", "intervals"),
    ("agreement", "best", "condition", "ranges", "defaults", "dialects", "settings"),
    ("keys", "rule", "baseline", "readers", "edits", "config_files"),
    ("words",),
    ("config_choice",),
    (
        "rule_fields",
        "calibration",
        "signals",
        "coupling",
        "configs",
        "ranking",
        "folders",
        "joining",
        "leftovers",
        "differences",
    ),
    ("diagnose", "target", "discover", "bounds"),
    ("deciding",),
    ("cases", "plan", "loss_table"),
    ("rule_check", "apply", "compare"),
    ("fixes",),
    ("rulebook", "pipeline"),
    ("tuning",),
    ("monitor",),
    ("watch",),
    ("report",),
    ("cli", "integrations"),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


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


def part_of(path: Path) -> str:
    return path.relative_to(ADVISOR).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(ADVISOR).as_posix())
def test_a_module_imports_only_from_the_layers_below_its_own(path: Path) -> None:
    own = part_of(path)
    for name in imported(path):
        if name.startswith("advisor."):
            other = name.split(".")[1]
            if other in RANK and other != own:
                assert RANK[other] < RANK[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: p.relative_to(ADVISOR).as_posix())
def test_the_advisor_imports_neither_the_trainer_nor_its_packages(path: Path) -> None:
    if part_of(path) == "integrations":  # each imports its own framework, nothing imports them
        return
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"torch", "transformers", "pandas", "train", "peft", "datasets"}


def test_every_module_of_the_advisor_has_its_layer() -> None:
    parts = {part_of(path) for path in modules()}
    assert parts - {"integrations"} <= set(RANK)


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
