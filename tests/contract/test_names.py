"""A public class name means one thing in the whole tree."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Trainers, and frameworks of training, by the names that dialects and log formats have.
TRAINERS = {
    "automodel", "transformers", "trl", "axolotl", "llamafactory", "llama-factory", "unsloth",
    "torchtune", "swift", "ms-swift", "lightning", "accelerate", "deepspeed", "megatron", "nemo",
    "composer", "fairseq", "keras", "fastai", "nanogpt",
}  # fmt: skip
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


def test_what_is_known_of_a_trainer_lives_in_its_dialect() -> None:
    """Nobody else compares with a trainer's name: a dialect answers, by HABITS or a function."""
    found = []
    for path in sorted((ROOT / "advisor").rglob("*.py")):
        if path.relative_to(ROOT).parts[1] in ("dialects", "integrations"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                texts = [c.value for c in ast.walk(node) if isinstance(c, ast.Constant)]
                names = [a.attr for a in ast.walk(node) if isinstance(a, ast.Attribute)]
                if TRAINERS & {t.lower() for t in texts if isinstance(t, str)} or "NAME" in names:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []
