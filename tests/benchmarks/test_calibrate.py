"""Calibration: what is counted, how it is drawn towards the word, and how far off it is."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest


def test_the_expected_error_is_the_distance_of_sureness_and_share() -> None:
    from benchmarks.tools.calibrate_bins import expected_error

    half_right = [(0.92, True)] * 5 + [(0.92, False)] * 5
    assert expected_error(half_right) == pytest.approx(0.42)
    assert expected_error([(0.5, True), (0.5, False)]) == 0
    assert expected_error([]) is None


def test_bins_hold_mean_sureness_share_and_number() -> None:
    from benchmarks.tools.calibrate_bins import bins_of

    pairs = [(0.75, True), (0.75, False), (0.99, True)]
    assert bins_of(pairs) == [[0.75, 0.5, 2], [0.99, 1.0, 1]]


def test_folds_that_disagree_call_for_a_heavier_word() -> None:
    from advisor.rulebook.load import load_rules
    from benchmarks.tools.calibrate import Judged, fit

    rules = load_rules()
    steady = [Judged("LR007", "error", True, f"f{i % 4}", True) for i in range(40)]
    torn = [Judged("LR007", "error", i % 4 > 0, f"f{i % 4}", True) for i in range(40)]
    assert fit(steady, rules)[0].weight < fit(torn, rules)[0].weight


def test_trained_and_generated_runs_are_counted_apart() -> None:
    from advisor.rulebook.load import load_rules
    from benchmarks.tools.calibrate import Judged, calibration_of

    found = [
        Judged("LR007", "error", True, "a", True),
        Judged("LR007", "error", False, "b", False),
    ]
    counted = calibration_of(found, load_rules(), 2.0, 0.5).rules["LR007"]
    assert (counted.trained, counted.made) == ((1, 1), (1, 0))


def test_the_diagram_is_sound_xml_with_one_mark_a_bin() -> None:
    from benchmarks.tools.calibrate_svg import diagram

    root = ElementTree.fromstring(diagram({"a < b": [[0.9, 0.8, 10], [0.99, 1.0, 400]]}))
    space = "{http://www.w3.org/2000/svg}"
    marks = [c for c in root.iter(f"{space}circle") if c.find(f"{space}title") is not None]
    assert len(marks) == 2
