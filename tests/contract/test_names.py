"""A public class name means one thing in the whole tree."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# One callback a framework: whoever imports it knows which.
ALIKE = {"AdvisorCallback"}


def test_no_two_public_classes_have_one_name() -> None:
    places = defaultdict(list)
    for path in sorted([*(ROOT / "advisor").rglob("*.py"), *(ROOT / "train").rglob("*.py")]):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(ROOT).as_posix())
    assert len(places) > 200
    assert {n: at for n, at in places.items() if len(at) > 1 and n not in ALIKE} == {}
