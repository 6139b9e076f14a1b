"""How often each rule was right on labelled runs, and the confidence that follows from it.

`rules/calibration.json` holds the counts; `python -m benchmarks.tools.calibrate` makes it. A count
holds for the rule as it was measured: if its condition or limits have changed since, the confidence
stated in the rule file is used.
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

    of: int  # checksum of the measured condition
    trained: tuple[int, int] = (0, 0)  # findings, right ones: on real training runs
    made: tuple[int, int] = (0, 0)  # the same on generated runs


class Calibration(msgspec.Struct, frozen=True):
    """Counts by rule code, and how they are weighed against the confidence in the rule file."""

    weight: float = 0.0  # of the stated confidence, in findings
    share: float = 1.0  # weight of a finding on a generated run; 1 is that on a real run
    enough: int = 1  # findings; with fewer, the stated confidence is used
    rules: dict[str, Counted] = {}

    def confidence(self, rule: Rule) -> float | None:
        """Return the measured confidence, or None where the rule has too few counts."""
        counted = self.rules.get(rule.code)
        if counted is None or counted.of != checksum(rule):
            return None
        if counted.trained[0] + counted.made[0] < self.enough:
            return None
        return round(self.estimate(counted, CONFIDENCES[rule.confidence]), 3)

    def estimate(self, counted: Counted, word: float) -> float:
        """Return the share of right findings, drawn towards ``word`` where counts are few."""
        said, right = (
            real + self.share * made
            for real, made in zip(counted.trained, counted.made, strict=True)
        )
        return (right + self.weight * word) / (said + self.weight)


def checksum(rule: Rule) -> int:
    """Return a checksum of what decides whether the rule holds for a log."""
    live = {*_NAMES.findall(rule.live_when)} - {*_NAMES.findall(rule.when)}
    limits = ",".join(f"{n}={value:g}" for n, value in sorted(rule.limits.items()) if n not in live)
    lines = clauses(rule.when) if rule.when else ()
    return zlib.crc32(f"{lines};{limits}".encode())  # independent of layout


def read_calibration(folder: Path) -> Calibration:
    """Return the counts that lie beside the rules; empty without such a file."""
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
    """Return the rules with their measured confidence."""
    return [replace(rule, measured=calibration.confidence(rule)) for rule in rules]
