"""How often each rule was right on labelled runs, and the confidence that follows from it.

`rules/calibration.json` holds the counts; `python -m benchmarks.tools.calibrate` makes
it. A count belongs to the rule as it stood: where its condition or limits have changed since, the
rule's own word counts.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec

from advisor.errors import RuleError
from advisor.rulebook.condition import clauses
from advisor.rulebook.rule import CONFIDENCES, Rule

CALIBRATION = "calibration.json"
_NAMES = re.compile(r"[A-Za-z_][\w.]*")


class Counted(msgspec.Struct, frozen=True):
    """Findings of one rule on labelled runs, and how many of them were right."""

    of: int  # checksum of the condition that was measured
    trained: tuple[int, int] = (0, 0)  # said, right: on runs that were really trained
    made: tuple[int, int] = (0, 0)  # on generated runs


class Calibration(msgspec.Struct, frozen=True):
    """Counts by rule code, and what they weigh beside the rule's own word."""

    weight: float = 0.0  # the word, in findings
    share: float = 1.0  # a finding on a generated run, in findings on trained ones
    enough: int = 1  # findings; below that the word stands
    rules: dict[str, Counted] = {}

    def confidence(self, rule: Rule) -> float | None:
        """Return the measured confidence, or None where too little is known of the rule."""
        counted = self.rules.get(rule.code)
        if counted is None or counted.of != checksum(rule):
            return None
        if counted.trained[0] + counted.made[0] < self.enough:
            return None
        return round(self.estimate(counted, CONFIDENCES[rule.confidence]), 3)

    def estimate(self, counted: Counted, word: float) -> float:
        """Return the share that was right, drawn towards the word where counts are few."""
        said, right = (
            real + self.share * made
            for real, made in zip(counted.trained, counted.made, strict=True)
        )
        return (right + self.weight * word) / (said + self.weight)


def checksum(rule: Rule) -> int:
    """Return a checksum of what decides whether the rule holds of a log."""
    live = {*_NAMES.findall(rule.live_when)} - {*_NAMES.findall(rule.when)}
    limits = ",".join(f"{n}={value:g}" for n, value in sorted(rule.limits.items()) if n not in live)
    lines = clauses(rule.when) if rule.when else ()
    return zlib.crc32(f"{lines};{limits}".encode())  # of what it says, however it is written


def read_calibration(folder: Path) -> Calibration:
    """Return the counts that lie beside the rules; none where there is no such file."""
    path = folder / CALIBRATION
    if not path.exists():
        return Calibration()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Calibration)
    except msgspec.DecodeError as error:
        raise RuleError(
            f"{path}: {error}; make it anew: python -m benchmarks.tools.calibrate"
        ) from error


def add_measured(rules: Iterable[Rule], calibration: Calibration) -> list[Rule]:
    """Return the rules with what was measured of them."""
    return [replace(rule, measured=calibration.confidence(rule)) for rule in rules]
