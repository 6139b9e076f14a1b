"""How sure a finding may be: counts of right findings for each rule, and what they are worth.

python -m benchmarks.tools.calibrate [--seeds 500:520] [--no-limits] [--check]

Counts warnings and errors on generated runs of the tuning half and on the gallery's tune split,
and writes rules/calibration.json. How much a rule's own word weighs is chosen by the likelihood
of folds left out, each one architecture and data set. Then looks at the held-out halves and
writes benchmarks/results/calibration.json and docs/calibration.svg for the accuracy page.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy import runs as runs_of
from benchmarks.accuracy.answers import ask_ours
from benchmarks.accuracy.runs import Labelled
from benchmarks.accuracy.scores import Pair, is_right, loud
from benchmarks.places import RESULTS, ROOT
from benchmarks.tools.calibrate_bins import bins_of, expected_error
from benchmarks.tools.calibrate_svg import diagram

if TYPE_CHECKING:
    from advisor.rulebook.calibration import Calibration
    from advisor.rulebook.rule import Rulebook

RESULT = RESULTS / "calibration.json"
PICTURE = ROOT / "docs" / "calibration.svg"
WEIGHTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of a trained run's finding, for a generated run's
ENOUGH = 8  # findings: from there on the counts weigh at least as much as most priors


@dataclass(frozen=True, slots=True)
class Judged:
    """One finding of one labelled run, and whether it was right."""

    code: str
    severity: str
    right: bool
    fold: str
    trained: bool


def judged(pairs: Iterable[Pair]) -> list[Judged]:
    found = []
    for run, answer in pairs:
        for said in loud(answer):
            right = is_right(said, run)
            if right is not None:
                found.append(
                    Judged(said.code, said.severity, right, fold_of(run), run.source == "trained")
                )
    return found


def fold_of(run: Labelled) -> str:
    """Architecture and data set of a real run; a kind of curve of a generated one."""
    return f"{run.arch}/{run.data}" if run.arch else f"generated/{run.fault}"


def counts_of(found: Iterable[Judged]) -> dict[str, list[int]]:
    """Findings and right ones, by rule."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for item in found:
        counts[item.code][0] += 1
        counts[item.code][1] += item.right
    return dict(counts)


def calibration_of(
    found: Sequence[Judged], rules: Rulebook, weight: float, share: float
) -> Calibration:
    from advisor.rulebook.calibration import Calibration, Counted, checksum

    trained = counts_of(item for item in found if item.trained)
    made = counts_of(item for item in found if not item.trained)
    counted = {
        rule.code: Counted(
            checksum(rule), *(_pair(counts.get(rule.code)) for counts in (trained, made))
        )
        for rule in rules
        if rule.code in trained or rule.code in made
    }
    return Calibration(weight, share, ENOUGH, counted)


def _pair(counts: Sequence[int] | None) -> tuple[int, int]:
    return (counts[0], counts[1]) if counts else (0, 0)


def left_out_loss(found: Sequence[Judged], rules: Rulebook, weight: float, share: float) -> float:
    """Mean negative log likelihood of each fold by the counts of the others.

    Folds of trained runs alone where there are any: they are what a user's runs are like.
    """
    folds = {item.fold for item in found if item.trained} or {item.fold for item in found}
    total, n = 0.0, 0
    for fold in folds:
        others = [item for item in found if item.fold != fold]
        sureness = sureness_of(calibration_of(others, rules, weight, share), rules)
        for item in (item for item in found if item.fold == fold):
            p = sureness[item.code]
            total -= math.log(p if item.right else 1 - p)
            n += 1
    return total / max(1, n)


def sureness_of(fitted: Calibration, rules: Rulebook) -> dict[str, float]:
    """The confidence of each rule, however few its counts."""
    from advisor.rulebook.calibration import Counted
    from advisor.rulebook.rule import CONFIDENCES

    none = Counted(0)
    return {
        rule.code: fitted.estimate(fitted.rules.get(rule.code, none), CONFIDENCES[rule.confidence])
        for rule in rules
    }


def fit(found: Sequence[Judged], rules: Rulebook) -> tuple[Calibration, dict[str, float]]:
    """The calibration whose two weights do best on folds left out, and how all of them did."""
    losses = {
        (weight, share): left_out_loss(found, rules, weight, share)
        for weight in WEIGHTS
        for share in SHARES
    }
    best = min(losses, key=lambda both: losses[both])
    table = {f"{w:g}, {s:g}": round(loss, 4) for (w, s), loss in losses.items()}
    return calibration_of(found, rules, *best), table


def look(found: Sequence[Judged], sureness: Mapping[str, float]) -> dict[str, Any]:
    """The reliability of a set at these confidences."""
    pairs = [(sureness[item.code], item.right) for item in found]
    return {"findings": len(pairs), "error": expected_error(pairs), "bins": bins_of(pairs)}


def summary(
    sets: Mapping[str, Sequence[Judged]], fitted: Calibration, rules: Rulebook
) -> dict[str, Any]:
    from advisor.rulebook.rule import CONFIDENCES

    words = {rule.code: CONFIDENCES[rule.confidence] for rule in rules}
    after = {rule.code: fitted.confidence(rule) or words[rule.code] for rule in rules}
    return {
        "weight": fitted.weight,
        "share": fitted.share,
        "enough": fitted.enough,
        "measured": sum(fitted.confidence(rule) is not None for rule in rules),
        "loud": sum(rule.severity != "info" and not rule.waits_for for rule in rules),
        "sets": {
            name: {"word": look(found, words), "measured": look(found, after)}
            for name, found in sets.items()
        },
        "rules": {
            rule.code: [rule.severity, words[rule.code], *c.trained, *c.made, after[rule.code]]
            for rule in rules
            if (c := fitted.rules.get(rule.code)) is not None
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", default="500:520")
    parser.add_argument("--held", default="1000:1020")
    parser.add_argument("--no-limits", action="store_true", help="keep what is known of limits")
    parser.add_argument("--check", action="store_true", help="print, write nothing")
    args = parser.parse_args()
    from advisor.rulebook.load import load_rules

    rules = load_rules()
    sets = ask_sets(args.seeds, args.held)
    tune = [item for name, found in sets.items() if "held" not in name for item in found]
    fitted, losses = fit(tune, rules)
    result = {**summary(sets, fitted, rules), "loss": losses}
    for name, both in result["sets"].items():
        print(name, both["word"]["findings"], "findings; expected calibration error by the words",
              both["word"]["error"], "measured", both["measured"]["error"])  # fmt: skip
    if args.check:
        return
    result["limits"] = limits_of(args.no_limits)
    write(fitted, result)


def ask_sets(seeds: str, held: str) -> dict[str, list[Judged]]:
    gallery = runs_of.gallery()
    groups = {
        "generated": runs_of.generated(_range(seeds)),
        "gallery tune": runs_of.pick(gallery, split="tune"),
        "generated, held-out seeds": runs_of.generated(_range(held)),
        "gallery held": runs_of.pick(gallery, split="held"),
    }
    answers = ask_ours([run for runs in groups.values() for run in runs])
    pairs = {name: [(run, answers[run.id]) for run in runs] for name, runs in groups.items()}
    return {name: judged(some) for name, some in pairs.items() if some}


def _range(text: str) -> range:
    low, high = text.split(":")
    return range(int(low), int(high))


def limits_of(keep: bool) -> Any:
    if keep and RESULT.exists():
        return json.loads(RESULT.read_text()).get("limits", {})
    from benchmarks.tools.calibrate_limits import sensitivity

    return sensitivity([*runs_of.generated(range(500, 510)),
                        *runs_of.pick(runs_of.gallery(), split="tune")])  # fmt: skip


def write(fitted: Calibration, result: dict[str, Any]) -> None:
    import msgspec

    from advisor.rulebook.calibration import CALIBRATION

    text = msgspec.json.format(msgspec.json.encode(fitted), indent=1).decode()
    (ROOT / "rules" / CALIBRATION).write_text(text + "\n")
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    held = {
        name: both["measured"]["bins"] for name, both in result["sets"].items() if "held" in name
    }
    PICTURE.write_text(diagram(held))
    print("rules/calibration.json written: now `python -m advisor.report.page`")


if __name__ == "__main__":
    main()
