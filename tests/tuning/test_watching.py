"""A run that has stopped to write is told from one that is slow."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

from advisor.tuning.watching import TrialPulse


def quiet(folder: Path, seconds: float) -> TrialPulse:
    """Return the pulse of a run that wrote its last so many seconds ago."""
    pulse = TrialPulse(folder)
    pulse.measure_silence()
    pulse.since = time.monotonic() - seconds
    return pulse


def test_a_run_hangs_that_is_silent_for_far_longer_than_whole_runs_took(tmp_path: Path) -> None:
    assert quiet(tmp_path, 500).is_dead(longest=100)
    assert not quiet(tmp_path, 250).is_dead(longest=100)
    assert not quiet(tmp_path, 50).is_dead(longest=1)  # a machine may be busy for a minute


def test_the_first_run_is_never_ended_for_its_silence_but_people_are_told(tmp_path: Path) -> None:
    pulse = quiet(tmp_path, 700)
    assert not pulse.is_dead(longest=0)
    assert pulse.is_report_due() and not pulse.is_report_due()


def test_checkpoints_that_come_and_go_meanwhile_do_no_harm(tmp_path: Path) -> None:
    over = threading.Event()

    def save() -> None:
        while not over.is_set():
            for name in ("a", "b", "c"):
                (tmp_path / "run" / name / "model").mkdir(parents=True, exist_ok=True)
            shutil.rmtree(tmp_path / "run", ignore_errors=True)

    saver = threading.Thread(target=save)
    saver.start()
    try:
        pulse = TrialPulse(tmp_path)
        for _ in range(2000):
            assert pulse.measure_silence() >= 0
    finally:
        over.set()
        saver.join()


def test_a_line_anywhere_in_its_folder_is_a_sign_of_life(tmp_path: Path) -> None:
    (tmp_path / "run" / "deep").mkdir(parents=True)
    pulse = quiet(tmp_path, 500)
    (tmp_path / "run" / "deep" / "log.jsonl").write_text("{}")
    assert not pulse.is_dead(longest=100)
