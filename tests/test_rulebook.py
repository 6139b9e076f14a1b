"""Rule files are checked in full: all faults at once, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.cli.rule_cases import flips
from advisor.errors import RuleError
from advisor.rulebook.condition import clauses, parse
from advisor.rulebook.load import load_full, load_rules, parse_rules
from advisor.rulebook.rule import Cause
from tests.cli.program import advise

ROOT = Path(__file__).resolve().parents[1]
GOOD = """\
code: XX001
name: loss-is-high
symptom: plateau
seen: The loss is high.
means: It has not learnt.
do: Look.
message: "ends at {loss.end:.2f}"
severity: warning
confidence: low
limits: {high: 3}   # made up
when: [loss.end > high]
causes: [{lr_too_low: 0.6}, {rank_too_low: 0.2, when: setup.lr > 0}]
edits:
  - {op: multiply, key: optimizer.lr, by: 3, max: 1e-3, when: setup.clips > 0}
  - {op: advice, key: dataset, text: look at the data}
cases:
  - {name: high, series: {train/loss: "4x40"}, expect: fires}
"""


def write(folder: Path, text: str, name: str = "XX001-loss-is-high.yaml") -> Path:
    path = folder / "mine" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def faults(folder: Path, text: str, name: str = "XX001-loss-is-high.yaml") -> list[str]:
    with pytest.raises(RuleError) as caught:
        parse_rules([write(folder, text, name)])
    return str(caught.value).splitlines()


def test_a_good_file_becomes_a_rule(tmp_path: Path) -> None:
    (rule,) = parse_rules([write(tmp_path, GOOD)])
    assert rule.section == "mine"
    assert rule.limits == {"high": 3}
    assert rule.causes == (
        Cause("lr_too_low", 0.6),
        Cause("rank_too_low", 0.2, "setup.lr > 0"),
    )
    assert rule.edits[0].high == 1e-3
    assert rule.edits[1].applies == "advice"


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("symptom: plateau", "symptom: plato", 3, "nearest is plateau"),
        ("loss.end > high", "loss.ends > high", 11, "nearest is loss.end"),
        ("loss.end > high", "loss.end > 4", 11, "needs a name under 'limits'"),
        ("loss.end > high", "loss.end > 0", 10, "limit 'high' is not used"),
        ("loss.end > high", "max(loss.end) > high", 11, "a call in a condition"),
        ("severity: warning", "severity: bad", 8, "expected one of error, warning, info"),
        ("key: optimizer.lr", "key: optimizer.rate", 14, "unknown config key 'optimizer.rate'"),
        ("by: 3", "by: lots", 14, "expected a number"),
        ("op: multiply", "op: set", 14, "'set' needs 'to'"),
        ("do: Look.", "do: Look.\nfix: x", 7, "unknown field 'fix'"),
        ("seen: The loss is high.", "seen: " + "x" * 300, 4, "at most 220"),
        ("{loss.end:.2f}", "{loss.end:.2q}", 7, "not a number format"),
        ("{loss.end:.2f}", "{loss.end", 7, "braces hold a signal"),
        ('"4x40"', '"4y40"', 17, "no shorthand"),
        ("name: loss-is-high", "name: Loss", 2, "lower-case words"),
        ("confidence: low", "confidence: low\nconfidence: high", 10, "given twice"),
        ("[{lr_too_low: 0.6}", "[{lr_too_low: 6}", 12, "shares above 0 and up to 1"),
        ("[{lr_too_low: 0.6}", "[{lr_to_low: 0.6}", 12, "unknown cause 'lr_to_low', nearest is"),
        ("when: setup.lr > 0", "when: setup.lrr > 0", 12, "nearest is setup.lr"),
        ("when: setup.lr > 0", "when: setup.lr > 4", 12, "needs a name under 'limits'"),
    ],
)
def test_a_fault_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, what: str
) -> None:
    found = faults(tmp_path, GOOD.replace(old, new))
    assert any(what in fault and f".yaml:{line}: XX001: " in fault for fault in found), found


def test_all_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    one = write(tmp_path, GOOD.replace("symptom: plateau\n", "").replace("do: Look.\n", ""))
    two = write(tmp_path, GOOD.replace("XX001", "XX002").replace("> high", ">"), "XX002-b.yaml")
    with pytest.raises(RuleError) as caught:
        parse_rules([one, two])
    text = str(caught.value)
    for part in ("'symptom' is missing", "'do' is missing", "not a condition", "must be called"):
        assert part in text


def test_the_file_must_be_called_as_the_rule(tmp_path: Path) -> None:
    assert "must be called XX001-loss-is-high.yaml" in faults(tmp_path, GOOD, "XX001-b.yaml")[0]


def test_a_code_that_is_taken_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    path = tmp_path / "other" / "XX001-loss-is-high.yaml"
    path.parent.mkdir()
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(RuleError, match="the code is taken by"):
        load_full(tmp_path)


def test_rules_that_explain_each_other_in_a_circle_are_a_fault(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "unless: [XX002]\n")
    other = GOOD.replace("XX001", "XX002") + "unless: [XX001]\n"
    write(tmp_path, other, "XX002-loss-is-high.yaml")
    with pytest.raises(RuleError, match="leads back to itself"):
        load_full(tmp_path)


def test_an_unknown_code_in_unless_is_a_fault(tmp_path: Path) -> None:
    assert "unknown rule XX009" in faults(tmp_path, GOOD + "unless: [XX009]\n")[0]


@pytest.mark.parametrize("text", ["", "- a\n", "just text", "\x00", "a: [", "code: 1"])
def test_a_file_that_is_no_rule_is_refused_in_words(tmp_path: Path, text: str) -> None:
    assert faults(tmp_path, text)


def test_a_rule_of_the_users_replaces_the_bundled_one(tmp_path: Path) -> None:
    text = GOOD.replace("XX001", "LR001")
    rulebook = load_rules([write(tmp_path, text, "LR001-loss-is-high.yaml")])
    rule = rulebook.find("LR001")
    assert rule is not None and rule.name == "loss-is-high"
    assert len(rulebook) == len(load_rules())


def test_a_circle_through_a_bundled_rule_is_a_fault(tmp_path: Path) -> None:
    bundled = next(rule for rule in load_rules() if rule.unless)
    text = GOOD.replace("XX001", bundled.unless[0]) + f"unless: [{bundled.code}]\n"
    path = write(tmp_path, text, f"{bundled.unless[0]}-loss-is-high.yaml")
    with pytest.raises(RuleError, match="leads back to itself"):
        load_rules([path])


def test_a_missing_rule_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="no such file"):
        load_rules([tmp_path / "absent.yaml"])


def test_the_rule_in_the_docs_on_adding_one_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "adding-a-rule.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    file = write(tmp_path, example, "EP009-few-evaluations.yaml")
    done = advise("rules", "--test", file)
    assert (done.returncode, done.stdout) == (0, "4 cases, 0 failed\n")
    (rule,) = parse_rules([file], load_full().codes)
    assert all(flips(rule, case, name) for case in rule.cases for name in case.near)


def test_live_says_what_differs_while_a_training_runs(tmp_path: Path) -> None:
    live = "live: {from: 0.1, with: {loss.end: loss.best}, and: [loss.points > 2]}\ncauses"
    (rule,) = parse_rules([write(tmp_path, GOOD.replace("causes", live, 1))])
    assert rule.live == 0.1
    names = {"loss.best": 4.0, "loss.points": 3.0, "high": 3.0}
    assert parse(rule.live_when).evaluate(names.get) is True
    assert parse(rule.live_when).evaluate({**names, "loss.points": 2.0}.get) is False


@pytest.mark.parametrize(
    ("live", "said"),
    [
        ("{from: 2}", "a share of the run"),
        ("{with: {lower: 2}}", "'lower' does not stand in 'when'"),
        ("{with: {high: hihg}}", "unknown signal or limit 'hihg'"),
        ("{and: [loss.endd > 0]}", "nearest is loss.end"),
        ("{when: [loss.end > 0]}", "unknown field 'when'"),
    ],
)
def test_a_fault_of_live_is_reported(tmp_path: Path, live: str, said: str) -> None:
    assert said in "\n".join(faults(tmp_path, GOOD.replace("causes", f"live: {live}\ncauses", 1)))


def test_an_objective_stands_beside_the_condition(tmp_path: Path) -> None:
    text = GOOD.replace("seen:", "objective: [supervised, preference]\nseen:")
    (rule,) = parse_rules([write(tmp_path, text)])
    assert rule.objective == ("supervised", "preference")
    assert [clause.text for clause in clauses(rule.when)] == [
        "not run.is_policy",
        "loss.end > high",
    ]
    assert rule.checklist == "(loss.end > high)"


def test_needs_are_points_of_a_series(tmp_path: Path) -> None:
    (rule,) = parse_rules(
        [write(tmp_path, GOOD.replace("limits:", "needs: {train/loss: 5}\nlimits:"))]
    )
    assert rule.counted == {"loss.points": "train/loss"}
    for wrong in ("{train/los: 5}", "{train/loss: 0}", "{train/loss: many}", "[train/loss]"):
        (fault,) = faults(tmp_path, GOOD.replace("limits:", f"needs: {wrong}\nlimits:"))
        assert ":10: XX001: 'needs' is " in fault and "whole numbers of points" in fault


def test_a_rule_may_name_an_idea(tmp_path: Path) -> None:
    text = GOOD.replace("when: [loss.end > high]", "when: [loss.end > high, loss.no_rise]")
    (rule,) = parse_rules([write(tmp_path, text)])
    assert "loss.rise < 0.04" in rule.when and "loss.no_rise" in rule.checklist
    (fault,) = faults(tmp_path, text.replace("loss.no_rise", "loss.no_rises"))
    assert "unknown signal or limit 'loss.no_rises', nearest is loss.no_rise" in fault


@pytest.mark.parametrize("objective", ["supervisd", "[supervised, all]", "[]", "{a: 1}"])
def test_an_unknown_objective_is_a_fault(objective: str, tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, GOOD.replace("seen:", f"objective: {objective}\nseen:"))
    assert "'objective' is" in fault and "supervised, preference, policy" in fault
