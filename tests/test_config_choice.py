"""Which of several configs was a run's: the one whose values the log shows, or none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.config.agreement import FAR, agreement, rate_span
from advisor.config.attach import attach_config
from advisor.run import Config, Run, Series

ARGUMENTS = (
    "learning_rate: {lr}\nnum_train_epochs: {epochs}\nper_device_train_batch_size: 4\n"
    "logging_steps: {every}\nweight_decay: {decay}\n"
)
LR, EVERY = "optimizer.lr", "logging.every_steps"


def arguments(
    path: Path, lr: object = 2e-4, epochs: int = 3, every: int = 5, decay: float = 0.0
) -> Path:
    path.write_text(ARGUMENTS.format(lr=lr, epochs=epochs, every=every, decay=decay))
    return path


def decay(peak: float, rows: int = 40, every: int = 5, warmup: int = 0) -> list[float]:
    """Return the rates of a linear schedule that are logged every so many steps."""
    total = rows * every
    steps = [every * (i + 1) for i in range(rows)]
    up = [min(1.0, step / warmup) if warmup else 1.0 for step in steps]
    return [peak * u * (total - step) / (total - warmup) if u == 1.0 else peak * u
            for step, u in zip(steps, up, strict=True)]  # fmt: skip


def run_of(rates: list[float] | None = None, every: int = 5, **facts: Any) -> Run:
    rows = len(rates) if rates is not None else 40
    steps = np.arange(1, rows + 1, dtype=np.int64) * every
    series = {"train/loss": Series("train/loss", steps, np.linspace(2, 1, rows))}
    if rates is not None:
        series["train/lr"] = Series("train/lr", steps, np.array(rates))
    return Run("run", "jsonl", series, facts=facts)


def config_of(folder: Path, run: Run) -> tuple[Config, str]:
    found = attach_config(run, folder)
    return found.config, " | ".join(found.notes)


@given(
    st.floats(1e-7, 1e-1), st.integers(2, 60), st.integers(1, 50), st.floats(0, 0.5), st.booleans()
)
def test_the_span_holds_the_peak_of_any_linear_schedule(
    peak: float, rows: int, every: int, share: float, rounded: bool
) -> None:
    rates = decay(peak, rows, every, int(share * rows * every))
    span = rate_span(run_of([float(f"{r:.3g}") for r in rates] if rounded else rates, every))
    if span is not None:
        # the peak may lie between two rows: the config that has it is within FAR all the same
        assert span[0] / FAR <= peak <= span[2] * FAR


@pytest.mark.parametrize("other", [0.05, 2e-3, 2e-5, 6e-5])
@pytest.mark.parametrize("names", [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")])
def test_the_config_of_the_logged_rate_is_taken(
    tmp_path: Path, other: float, names: tuple[str, str]
) -> None:
    own = arguments(tmp_path / names[0])
    arguments(tmp_path / names[1], lr=other)
    config, notes = config_of(tmp_path, run_of(decay(2e-4)))
    assert config.path == str(own) and config.values[LR] == 2e-4
    assert f"{names[0]} taken, not {names[1]}" in notes


def test_logging_steps_and_epochs_tell_where_no_rate_is_logged(tmp_path: Path) -> None:
    arguments(tmp_path / "a.yaml", every=10)
    own = arguments(tmp_path / "b.yaml")
    arguments(tmp_path / "c.yaml", epochs=1)
    config, _ = config_of(tmp_path, run_of(num_train_epochs=3, logging_steps=5))
    assert config.path == str(own)
    config, _ = config_of(tmp_path, run_of(every=10))  # by the gaps between the rows
    assert config.path == str(tmp_path / "a.yaml")


def test_a_cap_of_steps_tells_and_then_the_epochs_do_not(tmp_path: Path) -> None:
    text = ARGUMENTS.format(lr=2e-4, epochs=9, every=5, decay=0)
    (tmp_path / "a.yaml").write_text(text + "max_steps: 60\n")
    (tmp_path / "b.yaml").write_text(text + "max_steps: 200\n")
    config, _ = config_of(tmp_path, run_of(decay(2e-4), max_steps=200, num_train_epochs=2))
    assert config.path == str(tmp_path / "b.yaml")


def test_where_none_agrees_none_is_taken_and_it_is_said_in_one_line(tmp_path: Path) -> None:
    arguments(tmp_path / "a.yaml", lr=0.05)
    arguments(tmp_path / "b.yaml", lr=2e-6)
    config, notes = config_of(tmp_path, run_of(decay(2e-4)))
    assert config.path is None and config.origin[LR] == "log"
    assert "step_scheduler.local_batch_size" not in config.values
    assert notes.count("config:") == 1 and "none taken" in notes
    assert "a.yaml" in notes and "b.yaml" in notes and "\n" not in notes


def test_where_nothing_can_be_compared_several_are_none_and_one_is_taken(tmp_path: Path) -> None:
    arguments(tmp_path / "a.yaml", lr="$LR", every=1, decay=0.1)
    bare = Run("run", "csv", {})
    assert config_of(tmp_path, bare)[0].path == str(tmp_path / "a.yaml")
    arguments(tmp_path / "b.yaml", lr="$LR", every=1)
    config, notes = config_of(tmp_path, bare)
    assert config.path is None and "a.yaml or b.yaml?" in notes


def test_a_copy_of_a_config_is_no_rival(tmp_path: Path) -> None:
    arguments(tmp_path / "a.yaml")
    arguments(tmp_path / "config.yaml")
    config, _ = config_of(tmp_path, Run("run", "csv", {}))
    assert config.path == str(tmp_path / "config.yaml")


def test_a_lone_config_of_another_run_is_left_out_unless_it_was_changed_since(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("{}")
    path = arguments(tmp_path / "a.yaml", lr=6e-5)
    run = run_of(decay(2e-4))
    config, notes = config_of(tmp_path, run)
    assert config.path is None and "learning_rate 6e-05, the log has 0.000195" in notes
    os.utime(log, (1_000_000, 1_000_000))
    assert config_of(tmp_path, run)[0].path == str(path)
    assert attach_config(run, tmp_path, None, path).config.path == str(path)


@pytest.mark.parametrize("lr", [1.9e-4, 2e-4, 2.5e-4])
def test_a_lone_config_near_the_logged_rate_is_this_runs(tmp_path: Path, lr: float) -> None:
    path = arguments(tmp_path / "a.yaml", lr=lr)
    assert config_of(tmp_path, run_of(decay(2e-4)))[0].path == str(path)


def test_a_rate_that_still_rises_bounds_the_peak_from_below_only() -> None:
    rising = run_of([1e-5 * (i + 1) for i in range(10)])
    assert agreement({LR: 1e-2}, rising).clashes == ()
    assert agreement({LR: 5e-5}, rising).is_other


def test_what_we_wrote_for_the_next_run_is_this_runs_once_it_was_trained_with(
    tmp_path: Path,
) -> None:
    arguments(tmp_path / "config.yaml")
    arguments(tmp_path / "config.next.yaml", lr=6e-5)
    config, notes = config_of(tmp_path, run_of(decay(2e-4)))
    assert config.path == str(tmp_path / "config.yaml") and "next" not in notes
    config, _ = config_of(tmp_path, run_of(decay(6e-5)))
    assert config.path == str(tmp_path / "config.next.yaml")
    config, _ = config_of(tmp_path, Run("run", "csv", {}))
    assert config.path == str(tmp_path / "config.yaml")


def test_a_record_of_another_run_says_nothing_of_this_one(tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text('{"lr": 2.0, "weight_decay": 0.3, "epochs": 3}')
    config, notes = config_of(tmp_path, run_of(decay(2e-4)))
    assert "optimizer.weight_decay" not in config.values and "params.json" in notes
    (tmp_path / "params.json").write_text('{"lr": 0.0002, "weight_decay": 0.3, "epochs": 3}')
    assert config_of(tmp_path, run_of(decay(2e-4)))[0].values["optimizer.weight_decay"] == 0.3


def test_rows_that_are_only_counted_tell_nothing_of_the_logging_steps() -> None:
    run = run_of(every=1)
    assert agreement({EVERY: 10}, run).clashes
    counted = Run("run", "console", run.series, notes=("no step in the log: rows are counted",))
    assert agreement({EVERY: 10}, counted) == agreement({}, counted)
