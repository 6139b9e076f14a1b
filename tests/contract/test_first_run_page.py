"""docs/first-run.md: its outputs are what the commands print, its runs what they say they are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import advisor
from advisor.report.first_run import KEPT, PAGE, first_run

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
BLOCK = re.compile(r"^```\n.*?^```$", re.MULTILINE | re.DOTALL)


def test_the_outputs_on_the_page_are_those_of_the_commands() -> None:
    assert first_run(ROOT) == TEXT, "stale: run `make docs`"


def test_the_page_goes_all_the_way() -> None:
    for command in ("check outputs/run-1", "fix outputs/run-1 --diff", "fix outputs/run-1 -o",
                    "check outputs/run-2", "compare outputs/run-1 outputs/run-2"):  # fmt: skip
        assert f"$ advise {command}" in TEXT
    assert "outputs/run-1/trainer_state.json  failing" in TEXT
    assert "outputs/run-2/trainer_state.json  ok" in TEXT


def test_what_the_prose_says_stands_in_the_outputs() -> None:
    shown = "".join(BLOCK.findall(TEXT))
    prose = BLOCK.sub("", TEXT)
    said = re.findall(r"\b\d\.\d{3}\b|\b[A-Z]{2,4}\d{3}\b", prose)
    assert len(said) > 3
    for each in said:
        assert each in shown, each


def test_a_run_that_was_trained_with_another_config_is_not_shown(tmp_path: Path) -> None:
    shutil.copytree(ROOT / KEPT, tmp_path / KEPT)
    shutil.copy(ROOT / PAGE, tmp_path / PAGE)
    place = tmp_path / KEPT / "args.yaml"
    place.write_text(place.read_text().replace("num_train_epochs: 12", "num_train_epochs: 9"))
    with pytest.raises(advisor.AdvisorError, match=r"run-1: was not trained with the args\.yaml"):
        first_run(tmp_path)


def test_the_fixture_is_small_and_holds_no_leftovers() -> None:
    files = [path for path in (ROOT / KEPT).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 50_000
    assert {path.suffix for path in files} <= {".md", ".py", ".yaml", ".json"}
    assert not [path for path in files if path.name == "advise-fix.json"]


@pytest.mark.slow
def test_the_script_of_the_page_trains(tmp_path: Path) -> None:
    config = tmp_path / "args.yaml"
    short = (ROOT / KEPT / "args.yaml").read_text().replace("num_train_epochs: 12", "max_steps: 4")
    config.write_text(
        short.replace("eval_steps: 30", "eval_steps: 2").replace("10\neval", "1\neval")
    )
    words = [ROOT / KEPT / "train.py", config, tmp_path / "run-1"]
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = advisor.check(tmp_path / "run-1").run
    assert run.format == "transformers"
    assert len(run.series["train/loss"]) == 4 and len(run.series["eval/loss"]) == 2
    assert run.config.values["optimizer.lr"] == 1e-3
