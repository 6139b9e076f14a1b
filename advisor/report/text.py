"""Reports for people: a header, findings with evidence, a small plot, the plan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from advisor.base.numbers import count
from advisor.dialects.words import language_of, line_of, name_of, speak
from advisor.findings import Edit, Finding, NotJudged, Report, Written
from advisor.pipeline import Failure
from advisor.report.escaping import clean, one_line
from advisor.report.evidence import evidence_lines
from advisor.report.layout import Page
from advisor.report.plots import COLOURS, DOTS, MARK, WIDTH, plot

COLOUR = {"error": "bold red", "warning": "bold yellow", "info": "cyan"}
STATUS = {"failing": "bold red", "warning": "bold yellow", "ok": "bold green", "unknown": "magenta"}
MANY = 5  # runs from which a summary at the end has a line per run
AXIS = 14  # columns for the margin and labels of a plot
_ABSENT = re.compile(r"no ((?:train|eval)/\S+|validation loss)(?: in the log)?$")
_RULED_OUT = re.compile(r"the (?:loss of|run )")  # what kind of run it is
_UNKNOWN = re.compile(r"(\S+) is not known")


def show_reports(
    console: Console,
    reports: Sequence[Report],
    failures: Sequence[Failure],
    verbose: bool = False,
    outcomes: Mapping[int, Written] | None = None,
) -> None:
    """Print all Reports and Failures, and a closing line; ``outcomes`` by id() of a Report."""
    page = Page(console)
    for report in reports:
        _run(page, report, verbose)
        if outcomes and id(report) in outcomes:
            page.whole(written(outcomes[id(report)]))
        page.gap()
    if len(reports) >= MANY:
        _overview(page, reports)
    for failure in failures:
        page.whole(Text.assemble(("not read ", "bold red"), one_line(failure.message)))
    page.add_wrapped(_closing(reports, failures), 0)
    page.show()


def written(outcome: Written) -> Text:
    """Say which file holds the edits, and which edits are not in it and why."""
    text = Text("  ")
    done = [a for a in outcome.applied if a.written]
    if outcome.path is not None and done:
        text.append(f"wrote {len(done)} edit{'s' if len(done) > 1 else ''} to ")
        text.append(one_line(str(outcome.path)), "bold green")
    else:
        text.append("wrote nothing", "bold")
    for each in outcome.applied:
        if not each.written and each.edit.applies != "advice":
            key = each.edit.native_key or name_of(each.edit.key)
            text.append(f"\n    {one_line(f'{key}: {each.reason}')}", "dim")
    return text


def _run(page: Page, report: Report, verbose: bool) -> None:
    _header(page, report)
    for note in report.run.notes[: None if verbose else 3]:
        page.add_wrapped(Text(f"note: {one_line(note)}", "dim"), 2)
    shown = [f for f in report.findings if verbose or f.severity != "info"]
    for i, finding in enumerate(shown):
        _finding(page, report, finding, with_plot=i == 0)
    for finding in report.findings:
        if finding not in shown:
            line = Text.assemble((f"{finding.code} ", "cyan"), one_line(finding.message))
            page.add_wrapped(line, 2)
    _plan(page, report)
    _footer(page, report, verbose)


def _name(report: Report) -> str:
    run = report.run
    return one_line((run.path or "live run") + (f" run {run.id}" if run.id else ""))


def _header(page: Page, report: Report) -> None:
    run = report.run
    loss, held = run.series.get("train/loss"), run.series.get("eval/loss")
    facts = [run.format]
    if method := run.config.values.get("method"):
        facts.append(str(method))
    facts.append(count(len(loss) if loss else 0, "training point"))
    facts.append(count(len(held), "evaluation") if held else "no evaluations")
    page.whole(Text.assemble((_name(report), "bold"), "  ", (report.status, STATUS[report.status])))
    line = ", ".join(facts)
    if report.best is not None:
        best = report.best
        where = f", {best.place}" if best.checkpoint else ""
        line += f"; best {best.series} {best.value:.4g} at step {best.step}{where}"
    page.add_wrapped(Text(one_line(line), "dim"), 2)
    if report.followup is not None:
        style = {"helped": "bold green", "worse": "bold red"}.get(report.followup.verdict, "")
        page.add_wrapped(Text(one_line(f"since the fix: {report.followup.message}"), style), 2)
    if report.status == "unknown":
        why = speak(report.unknown_because, language_of(run))
        page.add_wrapped(Text(one_line(f"cannot be judged: {why}")), 2)


def _finding(page: Page, report: Report, finding: Finding, with_plot: bool) -> None:
    span = ""
    if finding.first_step is not None:
        span = f"  steps {finding.first_step} to {finding.last_step}"
        if finding.first_step == finding.last_step:
            span = f"  step {finding.first_step}"
    page.gap()
    head = Text.assemble(
        (f"{finding.severity} ", COLOUR[finding.severity]),
        (f"{finding.code} {finding.name}", "bold"),
        (span, "dim"),
    )
    page.add_wrapped(head, 0)
    page.add_wrapped(Text(one_line(finding.message)), 2)
    for line in evidence_lines(finding, 4):
        page.add_wrapped(Text(line, "dim"), 4)
    if with_plot:
        _plot(page, report, finding)
    if finding.causes:
        causes = ", ".join(f"{c.replace('_', ' ')} {p:.0%}" for c, p in finding.causes[:4])
        sure = f"{finding.confidence:.0%} sure"
        page.add_wrapped(Text.assemble(causes, (f"  ({sure})", "dim")), 7, Text("  why", "bold"))
    if finding.do:
        page.add_wrapped(Text(" ".join(finding.do.split())), 7, Text("   do", "bold"))


def _plot(page: Page, report: Report, finding: Finding) -> None:
    series = report.run.series
    name = next((n for n in (*finding.plots, "train/loss") if n in series), None)
    if name is None or not page.can_print(f"{DOTS}{MARK}"):
        return
    pair = {"train/loss": "eval/loss", "eval/loss": "train/loss"}.get(name)
    other = series.get(pair) if pair in finding.plots else None
    marks = [e.step for e in finding.evidence if e.step is not None and e.series in (name, pair)]
    marks += [s for s in (finding.first_step,) if s is not None]
    width = min(WIDTH, page.width - AXIS)
    lines = plot(series[name], other, sorted(set(marks))[:6], width)
    if not lines:
        return
    title = Text(one_line(name), COLOURS[0])
    if other is not None and pair is not None:
        title.append(" and ", "dim").append(pair, COLOURS[1])
    for line in (title, *lines):
        page.whole(line, 4)


def _plan(page: Page, report: Report) -> None:
    plan, language = report.plan, language_of(report.run)
    edits = [e for e in plan.edits if e.applies != "advice"]
    if not edits and not plan.later and not plan.dropped:
        return
    page.gap()
    page.whole(Text("next run", "bold"), 2)
    for edit in edits:
        page.add_wrapped(_edit(edit), 4)
    if plan.diff:
        lexed = Syntax("", "diff", theme="ansi_dark", background_color="default")
        page.whole(lexed.highlight(clean(plan.diff).rstrip("\n")), 4)
    elif plan.overrides:
        page.whole(Text(one_line(" ".join(plan.overrides)), "green"), 4)
    if plan.later:
        keys = ", ".join(dict.fromkeys(name_of(e.key, language) for e in plan.later))
        page.add_wrapped(Text(one_line(f"later, one thing at a time: {keys}"), "dim"), 4)
    for edit in plan.dropped:
        name = name_of(edit.key, language)
        page.add_wrapped(Text(one_line(f"left out: {name} {edit.op}: {edit.note}"), "dim"), 4)


def _edit(edit: Edit) -> Text:
    name, gap, change = line_of(edit).partition("  ")
    why = "; ".join(filter(None, (edit.applies, ", ".join(edit.because), edit.note)))
    text = Text.assemble((one_line(name), "bold"), one_line(gap + change))
    return text.append(one_line(f"  ({why})"), "dim")


def _footer(page: Page, report: Report, verbose: bool) -> None:
    lacking, language = report.not_judged, language_of(report.run)
    line = f"{count(len(report.ran), 'check')} ran, {len(lacking)} not judged"
    if lacking and not verbose:
        line += f"{_lacking(lacking, language)} (--verbose lists them)"
    page.add_wrapped(Text(one_line(line), "dim"), 2)
    if not verbose:
        return
    for item in lacking:
        why = speak(item.why, language)
        page.add_wrapped(Text(one_line(f"{item.code}: {why}"), "dim"), 4)
    for finding, by in report.suppressed:
        page.add_wrapped(Text(f"{finding.code} {finding.name}: explained by {by}", "dim"), 4)


def _lacking(items: Sequence[NotJudged], language: str) -> str:
    """Return what was missing: series that were not logged, settings that are not known."""
    whys = [why for item in items for why in item.why.split("; ")]
    absent = [m[1] for why in whys if (m := _ABSENT.match(why))]
    unknown = [m[1] for why in whys if (m := _UNKNOWN.match(why))]
    parts = []
    if absent:
        parts.append(f"no {', '.join(dict.fromkeys(absent))}")
    if unknown:
        names = list(dict.fromkeys(name_of(key, language) for key in unknown))
        more = ", ..." if len(names) > 3 else ""
        parts.append(f"not stated: {', '.join(names[:3])}{more}")
    parts += dict.fromkeys(why for why in whys if _RULED_OUT.match(why))
    return f": {'; '.join(parts)}" if parts else ""


def _overview(page: Page, reports: Sequence[Report]) -> None:
    """Add a line per run: after many reports only the end is visible."""
    heads = [_worst(report) for report in reports]
    width = max(len(head) for head in heads)
    for report, head in zip(reports, heads, strict=True):
        status = (f"{report.status:<9}", STATUS[report.status])
        page.whole(Text.assemble(status, f"{head:<{width + 2}}", _name(report)))
    page.gap()


def _worst(report: Report) -> str:
    """Return the first finding above a note, and the count of the others."""
    loud = [f for f in report.findings if f.severity != "info"]
    if not loud:
        return "-"
    more = f" +{len(loud) - 1}" if len(loud) > 1 else ""
    return f"{loud[0].code} {loud[0].name}{more}"


def _closing(reports: Sequence[Report], failures: Sequence[Failure]) -> Text:
    count = dict.fromkeys(("error", "warning", "info"), 0)
    for report in reports:
        for finding in report.findings:
            count[finding.severity] += 1
    runs = f"{len(reports)} run{'s' if len(reports) != 1 else ''}"
    words = [f"{n} {s}{'s' if n != 1 and s != 'info' else ''}" for s, n in count.items() if n]
    line = f"{runs}: " + (", ".join(words) if words else "nothing to report")
    unknown = sum(report.status == "unknown" for report in reports)
    if unknown:
        line += f"; {unknown} not judged"
    if failures:
        line += f"; {len(failures)} not read"
    bad = count["error"] or failures or unknown
    return Text(line, "bold red" if bad else "bold yellow" if count["warning"] else "bold green")
