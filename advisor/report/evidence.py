"""Evidence in words: each point with its series, value and step."""

from __future__ import annotations

from advisor.findings import Evidence, Finding
from advisor.report.escaping import one_line


def evidence_lines(finding: Finding, most: int) -> list[str]:
    """Return at most ``most`` lines to show below a finding; points without a text are left out."""
    return [_line(each) for each in finding.evidence if each.text][:most]


def _line(evidence: Evidence) -> str:
    if evidence.step is None or evidence.value is None:
        return one_line(f"{evidence.series}: {evidence.text}")
    return one_line(
        f"{evidence.series} {evidence.value:.4g} at step {evidence.step}: {evidence.text}"
    )
