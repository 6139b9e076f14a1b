"""Every number of a report is a point of the log: header, evidence and messages agree."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from advisor.diagnosis import diagnose
from advisor.errors import AdvisorError
from advisor.findings import Evidence, Finding, Report
from advisor.pipeline import Request, judge_run, load_runs
from advisor.report.evidence import evidence_lines
from advisor.rulebook.cases import make_run
from advisor.rulebook.cases import run_of as run_of_case
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rule, Rulebook
from advisor.run import Run
from advisor.signals import View
from advisor.signals.best import best_point

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "tests" / "fixtures" / "gallery"
BUNDLED = [p for p in (*GALLERY.iterdir(), *(ROOT / "presets" / "demo").iterdir()) if p.is_dir()]
STRANGERS = ROOT.parent / "shared" / "logs"
FAULTS = ROOT.parent / "shared" / "field"


@cache
def rules() -> Rulebook:
    return load_rules()


def reports_of(path: Path) -> list[Report]:
    """The reports of a path; none where it cannot be read."""
    try:
        return [judge_run(run, rules(), Request()) for run in load_runs(path, Request())]
    except AdvisorError:
        return []


def strangers() -> Iterator[Path]:
    with (STRANGERS / "index.csv").open() as stream:
        for row in csv.DictReader(stream):
            yield STRANGERS / row["file"]
    yield from sorted(p for p in (FAULTS / "cases").iterdir() if p.is_dir())
    yield from sorted((FAULTS / "faults" / "reading").iterdir())


def is_logged(evidence: Evidence, run: Run) -> bool:
    series = run.series.get(evidence.series)
    if series is None or evidence.step is None:
        return True  # an event, a line of the config
    at = int(np.searchsorted(series.steps, evidence.step))
    if at >= len(series) or series.steps[at] != evidence.step:
        return False
    return evidence.value is None or bool(
        np.array_equal(series.values[at], evidence.value, equal_nan=True)
    )


def wrong_in(finding: Finding, report: Report) -> Iterator[str]:
    for evidence in finding.evidence:
        if not is_logged(evidence, report.run):
            yield f"{finding.code}: no such point {evidence}"
    lines = evidence_lines(finding, 99)
    points = [(e.series, e.step, repr(e.value), e.text) for e in finding.evidence]
    if len(set(lines)) < len(lines) or len(set(points)) < len(points):
        yield f"{finding.code}: evidence repeats {lines}"
    if "?" in finding.message or "{" in finding.message:
        yield f"{finding.code}: {finding.message}"
    best = report.best
    if finding.code == "EP004" and best is not None:
        said = f"minimum {best.value:.4g} at step {best.step}"
        if said not in finding.message or (best.step, best.value) not in [
            (e.step, e.value) for e in finding.evidence
        ]:
            yield f"EP004 says {finding.message!r}, the header {said!r}"


def faults_of(report: Report) -> list[str]:
    findings = (*report.findings, *(finding for finding, _ in report.suppressed))
    out = [fault for finding in findings for fault in wrong_in(finding, report)]
    best = report.best
    if best is not None:
        values = report.run.series[best.series].values
        if best.series == "train/loss":
            values = values[values != 0]
        if best.value != np.min(values[np.isfinite(values)]):
            out.append(f"the header's best {best} is not the lowest point")
    return [f"{report.run.path} {report.run.id}: {fault}" for fault in out]


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.name)
def test_each_number_of_a_bundled_run_is_in_its_log(path: Path) -> None:
    reports = reports_of(path)
    assert reports
    assert not [fault for report in reports for fault in faults_of(report)]


@pytest.mark.skipif(not STRANGERS.exists(), reason="the logs of strangers are not here")
def test_each_number_of_a_strangers_run_is_in_its_log() -> None:
    reports = [report for path in strangers() for report in reports_of(path)]
    assert len(reports) > 150
    assert not [fault for report in reports for fault in faults_of(report)]


@pytest.mark.parametrize("rule", rules().rules, ids=lambda rule: rule.code)
def test_a_message_has_a_value_for_each_placeholder_where_its_rule_fires(rule: Rule) -> None:
    for case in rule.cases:
        if case.expect != "fires" or not rule.message:
            continue
        report = diagnose(run_of_case(case), Rulebook((rule,)))
        for finding in report.findings:
            assert finding.message != rule.seen, case.name
            assert not list(wrong_in(finding, report)), case.name


def test_a_long_log_whose_points_are_averaged_still_shows_points_of_its_own() -> None:
    values = "3>1.5~0.03x6000 9 1.5~0.03x3000 1.2 1.5~0.03x900 8 1.5~0.03x900 7 1.5~0.03x50"
    run = make_run({"train/loss": values, "train/grad_norm": "1~0.1x10000 30 1~0.1x100 40"})
    report = diagnose(run, rules())
    assert {f.symptom for f in report.findings} & {"spikes", "spike"}
    assert not faults_of(report)


def test_a_short_run_that_blows_up_names_its_first_point_and_its_last() -> None:
    report = diagnose(make_run({"train/loss": "2.1 9.8 10.4 10.1 10.2"}), rules())
    (finding,) = (f for f in report.findings if f.code == "LR009")
    assert "begins at 2.1 and ends at 10.2" in finding.message


def test_a_loss_that_falls_below_zero_falls_by_no_per_cent() -> None:
    run = make_run(
        {"train/loss": "2-0.04~0.02x100", "eval/loss": "2 1 0 -1 -2"}, every={"eval/loss": 20}
    )
    report = diagnose(run, rules())
    said = " ".join((*(f.message for f in report.findings), *_lines(report)))
    shares = [word.rstrip("%,;") for word in said.split() if word.rstrip(",;").endswith("%")]
    assert all(abs(float(share.lstrip("±"))) <= 100 for share in shares), said


def _lines(report: Report) -> list[str]:
    return [line for finding in report.findings for line in evidence_lines(finding, 9)]


def test_the_minimum_of_many_noisy_evaluations_is_the_one_that_was_logged() -> None:
    values = "2>1~0.02x12 1 0.9 1.02 1.0 1+0.03~0.02x20"
    run = make_run({"train/loss": "2.5-0.01~0.02x180", "eval/loss": values}, every={"eval/loss": 5})
    report = diagnose(run, rules())
    best = best_point(run)
    assert best is not None and best.value == 0.9
    assert View(run).lowest("eval/loss") == (best.step, best.value)
    (finding,) = (f for f in report.findings if f.code == "EP004")
    assert f"minimum 0.9 at step {best.step}" in finding.message
