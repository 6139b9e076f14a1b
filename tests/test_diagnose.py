"""From rules and a run to a Report: three answers, suppression, status, evidence, edits."""

from __future__ import annotations

import pytest

from advisor.diagnosis import diagnose, explain, fill
from advisor.plan.make import make_plan
from advisor.rulebook.cases import make_run
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Cause, Rule, Rulebook, RuleEdit
from advisor.run import Run
from advisor.signals import View

FALLING = {"train/loss": "3>1~0.02x100"}


def rule(code: str, when: str = "loss.points > 0", **fields: object) -> Rule:
    base: dict[str, object] = {"severity": "warning", "confidence": "medium", "symptom": "config"}
    base |= {"seen": "seen", "means": "means", "do": "do", "section": "s", "name": code.lower()}
    return Rule(code=code, when=when, **(base | fields))  # type: ignore[arg-type]


def codes(run: Run, *rules: Rule, **options: object) -> list[str]:
    report = diagnose(run, Rulebook(rules), **options)  # type: ignore[arg-type]
    return [finding.code for finding in report.findings]


def test_findings_come_worst_first_and_then_surest() -> None:
    rules = (
        rule("AA001", severity="info", confidence="high"),
        rule("AA002", confidence="low"),
        rule("AA003", confidence="high"),
        rule("AA004", severity="error", confidence="low"),
    )
    assert codes(make_run(FALLING), *rules) == ["AA004", "AA003", "AA002", "AA001"]


def test_a_rule_that_fires_suppresses_even_when_itself_suppressed() -> None:
    rules = (rule("AA001"), rule("AA002", unless=("AA001",)), rule("AA003", unless=("AA002",)))
    report = diagnose(make_run(FALLING), Rulebook(rules))
    assert [finding.code for finding in report.findings] == ["AA001"]
    assert {f.code: by for f, by in report.suppressed} == {"AA002": "AA001", "AA003": "AA001"}


def test_a_rule_that_is_silent_suppresses_nothing() -> None:
    rules = (rule("AA001", "loss.points < 1 and loss.end > 9"), rule("AA002", unless=("AA001",)))
    assert codes(make_run(FALLING), *rules) == ["AA002"]


def test_what_is_ignored_still_explains() -> None:
    rules = (rule("AA001"), rule("AA002", unless=("AA001",)))
    assert codes(make_run(FALLING), *rules, ignore=["AA001"]) == []


def test_select_and_ignore_take_codes_beginnings_names_and_symptoms() -> None:
    rules = (rule("AA001"), rule("BB001", symptom="plateau"))
    run = make_run(FALLING)
    assert codes(run, *rules, select=["AA"]) == ["AA001"]
    assert codes(run, *rules, select=["plateau"]) == ["BB001"]
    assert codes(run, *rules, ignore=["bb001"]) == ["AA001"]


def test_a_milder_finding_than_asked_for_is_left_out() -> None:
    assert codes(make_run(FALLING), rule("AA001", severity="info"), severity="warning") == []


def test_a_missing_signal_is_not_judged_and_says_why() -> None:
    report = diagnose(make_run(FALLING), Rulebook((rule("AA001", "eval.rise > 0"),)))
    assert report.ran == ()
    assert report.not_judged[0].code == "AA001"
    assert "eval/loss" in report.not_judged[0].why


def test_too_few_points_are_not_judged_rather_than_silent() -> None:
    when = "(loss.end > 0) and (loss.points >= 30)"
    book = Rulebook((rule("AA001", when, needs={"train/loss": 30}),))
    report = diagnose(make_run({"train/loss": "1x5"}), book)
    assert report.ran == ()
    assert report.not_judged[0].why == "only 5 points of train/loss, of 30 that it needs"


def test_a_rule_may_speak_of_few_evaluations() -> None:
    book = Rulebook((rule("AA001", "eval.points < 3"),))
    few, many = ({"eval/loss": f"1x{count}"} for count in (2, 5))
    assert [finding.code for finding in diagnose(make_run(few), book).findings] == ["AA001"]
    report = diagnose(make_run(many), book)
    assert (report.findings, report.ran, report.not_judged) == ((), ("AA001",), ())


def test_a_rule_for_a_later_stage_is_never_run() -> None:
    report = diagnose(make_run(FALLING), Rulebook((rule("AA001", "", waits_for="loop"),)))
    assert (report.findings, report.ran, report.not_judged) == ((), (), ())


@pytest.mark.parametrize(
    ("severity", "status"), [("error", "failing"), ("warning", "warning"), ("info", "ok")]
)
def test_the_status_follows_the_worst_finding(severity: str, status: str) -> None:
    book = Rulebook((rule("AA001", "loss.end > 0", severity=severity),))
    assert diagnose(make_run(FALLING), book).status == status


@pytest.mark.parametrize("series", [{}, {"train/loss": "2 1"}, {"train/lr": "1e-4x50"}])
def test_a_log_that_says_nothing_about_the_loss_is_never_ok(series: dict[str, str]) -> None:
    run = make_run(series, config={"method": "lora", "optimizer.lr": 1e-4, "peft.dim": 8})
    assert diagnose(run, load_rules()).status == "unknown"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{loss.points:.0f} points", "100 points"),
        ("{loss.points:.0f} points, {eval.rise:.1%} up", "seen"),
    ],
)
def test_a_message_uses_only_what_its_rule_has(message: str, said: str) -> None:
    book = Rulebook((rule("AA001", message=message),))
    assert diagnose(make_run(FALLING), book).findings[0].message == said


def test_causes_are_ranked_and_sum_to_one() -> None:
    book = Rulebook((rule("AA001", causes=(Cause("a", 0.1), Cause("b", 0.3))),))
    assert diagnose(make_run(FALLING), book).findings[0].causes == (("b", 0.75), ("a", 0.25))


def test_an_edit_whose_condition_does_not_hold_is_left_out() -> None:
    edits = (
        RuleEdit("set", "peft.dim", 8, when="config.peft.dim > 8"),
        RuleEdit("set", "peft.alpha", 16, when="config.peft.dim > 9"),
        RuleEdit("set", "peft.dropout", 0.1, when="config.optimizer.lr > 1"),
    )
    run = make_run(FALLING, config={"peft.dim": 9})
    finding = diagnose(run, Rulebook((rule("AA001", edits=edits),))).findings[0]
    assert [edit.key for edit in finding.edits] == ["peft.dim"]
    assert finding.edits[0].because == ("AA001",)


def test_an_edit_takes_its_value_from_a_signal() -> None:
    edits = (RuleEdit("set", "peft.alpha", "{setup.alpha_wanted:.0f}"),)
    book = Rulebook((rule("AA001", edits=edits),))
    known = diagnose(make_run(FALLING, config={"peft.dim": 9}), book).findings[0]
    assert known.edits[0].operand == 18
    assert diagnose(make_run(FALLING), book).findings[0].edits == ()


def test_evidence_comes_from_the_side_that_holds() -> None:
    book = Rulebook((rule("AA001", "eval.rise > 1 or loss.end > 0"),))
    finding = diagnose(make_run(FALLING), book).findings[0]
    assert {evidence.series for evidence in finding.evidence} == {"train/loss"}
    assert finding.last_step == 100


@pytest.mark.parametrize(
    ("saved", "place"),
    [
        ((25, 50, 75), "checkpoint-50"),
        ((25, 40, 60), "checkpoint-40 (10 steps before it)"),
        ((51, 90), "checkpoint-51 (1 step after it)"),
        ((), ""),
    ],
)
def test_the_best_checkpoint_is_the_last_one_up_to_the_lowest_validation_loss(
    saved: tuple[int, ...], place: str
) -> None:
    run = make_run(
        FALLING | {"eval/loss": "2 1.5 1.6 nan"},
        every={"eval/loss": 25},
        facts={"checkpoints": {step: f"checkpoint-{step}" for step in saved}},
    )
    best = diagnose(run, Rulebook(())).best
    assert best is not None
    assert (best.series, best.step, best.value, best.place) == ("eval/loss", 50, 1.5, place)


def test_without_validation_the_best_point_is_a_point_of_the_training_loss() -> None:
    run = make_run({"train/loss": "3 0 2 1.4 1.9 1.5 nan"})
    best = diagnose(run, Rulebook(())).best
    assert best is not None
    assert (best.series, best.step, best.value) == ("train/loss", 4, 1.4)


def test_a_healthy_run_gets_no_warning() -> None:
    run = make_run(
        {
            "train/loss": "2.5>1.2~0.03x400",
            "eval/loss": "1.6 1.4 1.3 1.26 1.25",
            "train/lr": "1e-5+1e-5x10 1e-4-2.5e-7x390",
            "train/grad_norm": "1~0.1x400",
        },
        every={"eval/loss": 80},
        epochs=2,
        config={"method": "lora", "optimizer.lr": 1e-4, "peft.dim": 16, "peft.alpha": 32},
        facts={"max_steps": 400},
    )
    report = diagnose(run, load_rules())
    assert report.status == "ok", [(f.code, f.message) for f in report.findings]


def test_explaining_rules_are_followed_to_their_root() -> None:
    fired = {"A": rule("A"), "B": rule("B", unless=("A",)), "C": rule("C", unless=("X", "B"))}
    assert explain(fired) == {"B": "A", "C": "A"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 losses are NaN, the first at step 1", "1 loss is NaN, the first at step 1"),
        ("reported {loss.points:.0f} times", "reported 1 time"),
        ("1 sudden jumps in 11 points", "1 sudden jump in 11 points"),
        ("1 evaluations are NaN or infinite", "1 evaluation is NaN or infinite"),
        ("3 epochs over 1 samples", "3 epochs over 1 sample"),
        ("1.1 times", "1.1 times"),
        ("of which -0.0% in the last third", "of which 0.0% in the last third"),
        ("ends at -0.01, or 1e-05", "ends at -0.01, or 1e-05"),
        ("0.5, usual is 0.01 to 0.01", "0.5, usual is 0.01"),
        ("usual is 0.01 to 0.011", "usual is 0.01 to 0.011"),
    ],
)
def test_messages_read_as_a_person_writes_numbers(text: str, said: str) -> None:
    run = make_run({"train/loss": "2"})
    rule = next(iter(load_rules()))
    assert fill(text, rule, View(run)) == said


def test_integers_beyond_any_float_are_no_numbers() -> None:
    config: dict[str, object] = dict.fromkeys(
        ("step_scheduler.num_epochs", "clip_grad_norm.max_norm", "optimizer.lr"), 10**400
    )
    run = make_run({"train/loss": "3>1x60"}, config=config, facts={"max_steps": 10**400})
    report = diagnose(run, load_rules())
    assert "CFG004" in {item.code for item in report.not_judged}
    assert make_plan(report.findings, run.config, run) is not None
