"""`advise sweep` end to end: with a stub trainer, and what a range test reads from a log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import AdvisorError
from advisor.run import Run, Series
from advisor.tuning.sweep import make_ramp, parse_rates, read_range

STUB = Path(__file__).with_name("stub_trainer.py")
CONFIG = '{"learning_rate": 1e-4, "per_device_train_batch_size": 8, "max_steps": 120, "seed": 1}'


def sweep(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (place / "my.json").write_text(CONFIG)
    trainer = f"{sys.executable} {STUB} {{config}} {{run_dir}}"
    command = [sys.executable, "-m", "advisor", "sweep", "my.json", "--command", trainer, *words]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)


def test_a_sweep_runs_every_rate_in_a_folder_of_its_own_and_picks_the_lowest(
    tmp_path: Path,
) -> None:
    done = sweep(tmp_path, "--lr", "1e-5,1e-3,1e-1")
    assert done.returncode == 0, done.stderr
    rates = [json.loads((tmp_path / "sweep-my" / f"lr-{rate}" / "config.json").read_text())
             for rate in ("1e-05", "0.001", "0.1")]  # fmt: skip
    assert [config["learning_rate"] for config in rates] == [1e-5, 1e-3, 0.1]
    assert "pick lr-0.001" in done.stdout
    assert "↑" in done.stdout  # the rate that diverges
    assert "<svg" in (tmp_path / "sweep-my" / "sweep.html").read_text()
    assert (tmp_path / "my.json").read_text() == CONFIG


def test_a_sweep_that_is_started_again_runs_nothing_twice(tmp_path: Path) -> None:
    sweep(tmp_path, "--lr", "1e-5,1e-3")
    again = sweep(tmp_path, "--lr", "1e-5,1e-4,1e-3", "--json")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "sweep-my/lr-0.001/done.txt").read_text().count("done") == 1
    assert json.loads(again.stdout)["pick"]["label"] == "lr-0.001"


def test_a_best_rate_at_the_end_asks_for_rates_beyond_it(tmp_path: Path) -> None:
    done = sweep(tmp_path, "--lr", "1e-5,1e-4")
    assert "a higher one may be better: --lr 0.0001,0.000316,0.001" in done.stdout


def test_another_config_in_the_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    sweep(tmp_path, "--lr", "1e-5,1e-4")
    done = sweep(tmp_path, "--lr", "1e-5,1e-4", "--steps", "50")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("advise: ")
    assert "another config" in done.stderr


@pytest.mark.parametrize("text", ["1e-5", "1e-5,x", "1e-5,-1", "1e-5,nan"])
def test_rates_that_make_no_sweep_are_refused(text: str) -> None:
    with pytest.raises(AdvisorError, match="--lr"):
        parse_rates(text)


def test_rates_are_taken_once_and_in_order() -> None:
    assert parse_rates("1e-4,1e-5,0.0001") == [1e-5, 1e-4]


def test_the_schedule_of_a_range_test_grows_to_its_last_step() -> None:
    changes = {change.key: change.new for change in make_ramp(0.1, 200)}
    assert changes["lr_scheduler.lr_warmup_steps"] == 200
    assert changes["lr_scheduler.init_lr"] == pytest.approx(1e-4)


def a_range_test(losses: np.ndarray) -> Run:
    steps = np.arange(losses.size)
    rates = np.linspace(1e-4, 0.1, losses.size)
    return Run("log", "jsonl", {"train/loss": Series("train/loss", steps, losses),
                                "train/lr": Series("train/lr", steps, rates)})  # fmt: skip


def test_a_range_test_says_where_the_loss_is_lowest_and_where_it_rises() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 100)
    losses = np.concatenate([np.linspace(4, 2, 60), np.linspace(2, 9, 40)]) + noise
    found = read_range(a_range_test(losses))
    assert found.lowest == pytest.approx(0.06, rel=0.1)
    assert found.rises is not None and found.lowest < found.rises < 0.075


def test_a_range_test_that_ends_in_nan_rises_there() -> None:
    losses = np.linspace(4, 2, 100)
    losses[80:] = np.nan
    assert read_range(a_range_test(losses)).rises == pytest.approx(0.081, rel=0.05)


def test_a_range_test_of_a_few_losses_is_refused() -> None:
    with pytest.raises(AdvisorError, match="more --steps"):
        read_range(a_range_test(np.linspace(4, 2, 6)))
