""".pre-commit-hooks.yaml: each hook's own words, run as pre-commit does: files come last."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.cli.program import DEMO, advise

ROOT = Path(__file__).resolve().parents[2]
HOOKS: dict[str, dict[str, Any]] = {
    hook["id"]: hook for hook in YAML(typ="safe").load(ROOT / ".pre-commit-hooks.yaml")
}
RULE = ROOT / "rules" / "loss" / "LR001-loss-barely-moves.yaml"


def run(name: str, *files: Path) -> int:
    program, *words = shlex.split(HOOKS[name]["entry"])
    assert program == "advise"
    return advise(*words, *files).returncode


def test_each_hook_has_what_pre_commit_wants() -> None:
    for hook in HOOKS.values():
        assert {"id", "name", "description", "entry", "language", "files"} <= set(hook)
        assert hook["language"] == "python"
        re.compile(hook["files"])


def test_rules_whose_cases_hold_pass_and_others_fail(tmp_path: Path) -> None:
    own = tmp_path / "my-rules"
    own.mkdir()
    good, bad = own / RULE.name, own / "broken" / RULE.name
    shutil.copy(RULE, good)
    assert re.search(HOOKS["advise-rules"]["files"], good.relative_to(tmp_path).as_posix())
    assert run("advise-rules", good, RULE.parent / "LR004-loss-spikes.yaml") == 0
    bad.parent.mkdir()
    text = RULE.read_text(encoding="utf-8")
    bad.write_text(text.replace("expect: fires", "expect: silent", 1), encoding="utf-8")
    assert run("advise-rules", bad) == 1


@pytest.mark.parametrize(
    ("log", "status"), [("healthy/training.jsonl", 0), ("hidden-nan/trainer_state.json", 1)]
)
def test_a_log_with_an_error_fails_and_a_healthy_one_passes(log: str, status: int) -> None:
    assert re.search(HOOKS["advise-check"]["files"], log)
    assert run("advise-check", DEMO / log) == status
