"""Reports of runs as one HTML page: curves, findings with evidence, the change to the config."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from advisor.dialects.words import language_of, line_of, speak
from advisor.findings import Finding, Report
from advisor.report.curves_svg import PlottedCurve, draw
from advisor.report.escaping import clean, one_line
from advisor.report.evidence import evidence_lines
from advisor.report.html_page import diff_block, page, piece

_SHOWN = (("train/loss", "var(--c0)"), ("eval/loss", "var(--c1)"))
_TONE = {"error": "bad", "warning": "bad", "info": "soft"}


def to_html(reports: Sequence[Report]) -> str:
    """Return the page of one run or several."""
    parts = ["<h1>Runs</h1>"] if len(reports) > 1 else []
    for report in reports:
        parts += _run(report)
    return page("Report on runs" if len(reports) > 1 else one_line(reports[0].run.path), parts)


def to_piece(report: Report) -> str:
    """Return one run's report as HTML to embed in a notebook."""
    return piece(_run(report))


def _run(report: Report) -> list[str]:
    run = report.run
    name = one_line(f"{run.path} {run.id}".strip()) or "live run"
    tone = {"failing": "bad", "warning": "bad", "ok": "good"}.get(report.status, "soft")
    parts = [f"<h2>{escape(name)}</h2>", f'<p class="{tone}">{escape(report.status)}</p>']
    if report.status == "unknown":
        why = speak(report.unknown_because, language_of(run))
        parts.append(f"<p>{escape(one_line(f'cannot be judged: {why}'))}</p>")
    curves = [
        PlottedCurve(
            name, run.series[name].steps, run.series[name].values, colour, name == "eval/loss"
        )
        for name, colour in _SHOWN
        if name in run.series
    ]
    picture = draw(curves, whole=True)
    if picture:
        key = "".join(
            f'<span><i style="border-color:{c.colour}"></i>{escape(c.label)}</span>' for c in curves
        )
        parts.append(f'{picture}<div class="key">{key}</div>')
    if report.followup is not None:
        parts.append(f"<p>{escape(one_line(f'since the fix: {report.followup.message}'))}</p>")
    parts += [_finding(each) for each in report.findings]
    lines = [line_of(edit) for edit in report.plan.edits if edit.applies != "advice"]
    if lines:
        items = "".join(f"<li>{escape(one_line(line))}</li>" for line in lines)
        parts.append(f"<p><b>next run</b></p><ul>{items}</ul>")
    if report.plan.diff:
        parts.append(diff_block(clean(report.plan.diff)))
    count = f"{len(report.ran)} checks ran, {len(report.not_judged)} not judged"
    return [*parts, f'<p class="soft">{count}</p>']


def _finding(finding: Finding) -> str:
    evidence = "".join(f"<li>{escape(line)}</li>" for line in evidence_lines(finding, 4))
    head = f"{finding.severity} {finding.code} {finding.name}"
    causes = ", ".join(f"{c.replace('_', ' ')} {p:.0%}" for c, p in finding.causes[:4])
    why = f"why: {causes} ({finding.confidence:.0%} sure)" if causes else ""
    return (
        f'<p><b class="{_TONE[finding.severity]}">{escape(head)}</b> '
        f"{escape(one_line(finding.message))}</p>"
        + (f"<ul>{evidence}</ul>" if evidence else "")
        + (f"<p>{escape(why)}</p>" if why else "")
        + (f'<p class="soft">{escape(one_line(finding.do))}</p>' if finding.do else "")
    )
