"""The other commands through the real program: demo, explain, rules, version, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import advise

RULES = Path(__file__).resolve().parents[2] / "rules"


def test_the_demo_ends_in_a_diagnosis_and_a_changed_config(tmp_path: Path) -> None:
    done = advise("demo", "-o", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    for said in ("LR004", "EP004", "NUM003", "MEM001", "wrote 1 edit"):
        assert said in done.stdout
    old = (tmp_path / "demo/rate-too-high/config.yaml").read_text()
    new = (tmp_path / "demo/rate-too-high/config.next.yaml").read_text()
    changed = [a for a, b in zip(old.splitlines(), new.splitlines(), strict=True) if a != b]
    assert len(changed) == 1 and "lr: 2.0e-03" in changed[0]
    again = advise("demo", "-o", tmp_path / "demo")
    assert again.returncode == 2 and "exists already" in again.stderr


@pytest.mark.parametrize("word", ["LR004", "lr004", "loss-spikes"])
def test_explain_prints_the_page_of_a_rule(word: str) -> None:
    done = advise("explain", word)
    assert done.returncode == 0
    assert done.stdout.startswith("# LR004 loss-spikes") and "## What to do" in done.stdout


def test_explain_of_a_symptom_lists_its_rules() -> None:
    done = advise("explain", "overfit")
    assert done.returncode == 0 and "EP004" in done.stdout


def test_explain_of_an_unknown_word_names_the_nearest() -> None:
    done = advise("explain", "LR04")
    assert done.returncode == 2 and "LR004" in done.stderr


def test_rules_lists_every_rule_with_its_rows_and_the_ranges_and_defaults() -> None:
    whole = json.loads(advise("rules", "--format", "json").stdout)
    files = list(RULES.glob("*/*.yaml"))
    assert len(whole["rules"]) == len(files)
    assert set(whole["rules"][0]) >= {"code", "name", "symptom", "severity", "guide", "needs"}
    ids = {i for rule in whole["rules"] for i in rule["guide"]}
    ids |= {r["guide"] for r in whole["ranges"]} | {d["id"] for d in whole["defaults"]}
    assert len(ids - {""}) == 103  # what later work found is in no row of the guide


def test_rules_test_runs_the_cases_of_a_file(tmp_path: Path) -> None:
    source = RULES / "loss" / "LR001-loss-barely-moves.yaml"
    done = advise("rules", "--test", source)
    assert done.returncode == 0 and "0 failed" in done.stdout
    text = source.read_text().replace('x100"}, expect: fires', 'x100"}, expect: silent', 1)
    (tmp_path / source.name).write_text(text)
    done = advise("rules", "--test", tmp_path)
    assert done.returncode == 1 and "expects silent, got fires" in done.stdout


def test_rules_test_takes_many_files_and_knows_what_other_rules_explain() -> None:
    done = advise("rules", "--test", *sorted((RULES / "loss").glob("LR*.yaml")))
    assert done.returncode == 0, done.stdout  # LR007 has a case that SC003 explains
    done = advise("rules", RULES / "loss")
    assert done.returncode == 2 and "files are for --test" in done.stderr


def test_rules_of_ones_own_judge_a_run(tmp_path: Path) -> None:
    text = (RULES / "loss" / "LR003-fast-fall-to-good-plateau.yaml").read_text()
    text = text.replace("LR003", "ZZ001").replace("fast-fall-to-good-plateau", "falls-at-all")
    text = text.replace("severity: info", "severity: error").replace("lr-3, clip-2", "")
    text = text.replace("still: 0.02", "still: 0.5")  # the demo goes on falling a little
    (tmp_path / "ZZ001-falls-at-all.yaml").write_text(text)
    healthy = RULES.parent / "presets" / "demo" / "healthy"
    done = advise("check", healthy, "--rules", tmp_path, "--select", "ZZ")
    assert done.returncode == 1 and "ZZ001" in done.stdout


def test_a_narrow_terminal_gets_the_rules_a_line_each() -> None:
    lines = advise("rules", env={"COLUMNS": "80"}).stdout.splitlines()
    assert len(lines) == len(list(RULES.glob("*/*.yaml"))) + 1
    assert max(map(len, lines)) <= 80


def test_version_and_completion_and_help() -> None:
    assert advise("--version").stdout.startswith("advise 0.")
    program = Path(sys.executable).with_name("advise")
    asked = {**os.environ, "_ADVISE_COMPLETE": "source_bash"}
    done = subprocess.run([program], env=asked, capture_output=True, text=True, timeout=120)
    assert "complete -o default" in done.stdout
    for command in ("check", "fix", "compare", "explain", "rules", "demo"):
        done = advise(command, "--help")
        assert done.returncode == 0 and "Example: advise" in done.stdout


def test_a_mistyped_command_names_the_nearest() -> None:
    done = advise("chekc")
    assert done.returncode == 2 and "did you mean `advise check`" in done.stderr


def test_a_reader_that_stops_reading_ends_the_command_quietly() -> None:
    command = f"{sys.executable} -m advisor rules | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr


def test_a_fault_of_ours_is_one_line_in_every_command() -> None:
    code = (
        "import sys, advisor.cli, advisor.cli.explain as e\n"
        "def broken(*a, **k): raise ValueError('boom')\n"
        "e.load_full = broken\n"
        "sys.argv = ['advise', 'explain', 'LR004']\n"
        "advisor.cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "a fault of ours (ValueError: boom)" in done.stderr
