"""Reports for people: a header, findings with evidence, a small plot, the plan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from advisor.apply import Outcome
from advisor.findings import Edit, Finding, NotJudged, Report
from advisor.pipeline import Failure
from advisor.redact import redact_text
from advisor.report.plots import plot

COLOUR = {"error": "bold red", "warning": "bold yellow", "info": "cyan"}
STATUS = {"failing": "bold red", "warning": "bold yellow", "ok": "bold green", "unknown": "magenta"}
_ABSENT = re.compile(r"no ((?:train|eval)/\S+|validation loss) ?(?:in the log)?")
_UNKNOWN = re.compile(r"(\S+) is not known")
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Take control characters out of text that came from a log, and secrets."""
    return redact_text(_CONTROL.sub("", text))


def show_reports(
    console: Console,
    reports: Sequence[Report],
    failures: Sequence[Failure],
    verbose: bool = False,
    outcomes: Mapping[int, Outcome] | None = None,
) -> None:
    """Print all Reports and Failures, and a closing line; ``outcomes`` by id() of a Report."""
    for report in reports:
        console.print(_run(report, verbose), crop=False)
        if outcomes and id(report) in outcomes:
            console.print(written(outcomes[id(report)]))
        console.print()
    for failure in failures:
        line = Text.assemble(("not read ", "bold red"), clean(failure.message))
        console.print(line, soft_wrap=True)
    console.print(_closing(reports, failures))


def written(outcome: Outcome) -> Text:
    """Say which file holds the edits, and which edits are not in it and why."""
    text = Text("  ")
    done = [a for a in outcome.applied if a.written]
    if outcome.path is not None and done:
        text.append(f"wrote {len(done)} edit{'s' if len(done) > 1 else ''} to ")
        text.append(clean(str(outcome.path)), "bold green")
    else:
        text.append("wrote nothing", "bold")
    for each in outcome.applied:
        if not each.written and each.edit.applies != "advice":
            text.append(
                f"\n    {each.edit.native_key or each.edit.key}: {clean(each.reason)}", "dim"
            )
    return text


def _run(report: Report, verbose: bool) -> Group:
    parts: list[RenderableType] = [_header(report)]
    for note in report.run.notes[: None if verbose else 3]:
        parts.append(Text(f"  note: {clean(note)}", "dim"))
    shown = [f for f in report.findings if verbose or f.severity != "info"]
    for i, finding in enumerate(shown):
        parts.append(_finding(report, finding, with_plot=i == 0))
    for finding in report.findings:
        if finding not in shown:
            line = Text.assemble("  ", (f"{finding.code} ", "cyan"), clean(finding.message))
            parts.append(line)
    parts.extend(_plan(report))
    parts.append(_footer(report, verbose))
    return Group(*parts)


def _header(report: Report) -> Text:
    run = report.run
    loss, held = run.series.get("train/loss"), run.series.get("eval/loss")
    facts = [run.format]
    if method := run.config.values.get("method"):
        facts.append(str(method))
    facts.append(f"{len(loss) if loss else 0} training points")
    facts.append(f"{len(held)} evaluations" if held else "no evaluations")
    name = clean(run.path) + (f" run {run.id}" if run.id else "")
    head = Text.assemble((name, "bold"), "  ", (report.status, STATUS[report.status]), "\n")
    head.no_wrap, head.overflow = True, "ignore"  # a path stays whole, to be copied
    head.append("  " + ", ".join(facts), "dim")
    if report.best is not None:
        best = report.best
        where = f", {best.checkpoint}" if best.checkpoint else ""
        head.append(f"; best {best.series} {best.value:.4g} at step {best.step}{where}", "dim")
    return head


def _finding(report: Report, finding: Finding, with_plot: bool) -> Group:
    span = ""
    if finding.first_step is not None:
        span = f"  steps {finding.first_step} to {finding.last_step}"
        if finding.first_step == finding.last_step:
            span = f"  step {finding.first_step}"
    head = Text.assemble(
        "\n",
        (f"{finding.severity} ", COLOUR[finding.severity]),
        (f"{finding.code} {finding.name}", "bold"),
        (f"{span}\n", "dim"),
        "  ",
        clean(finding.message),
    )
    parts: list[RenderableType] = [head]
    for evidence in finding.evidence[:4]:
        text = clean(evidence.text)
        if text and text not in finding.message:
            parts.append(Text(f"    {evidence.series}: {text}", "dim"))
    if with_plot:
        parts.extend(_plots(report, finding))
    if finding.causes:
        causes = ", ".join(f"{c.replace('_', ' ')} {p:.0%}" for c, p in finding.causes[:4])
        sure = f"sure to {finding.confidence:.0%}"
        parts.append(_labelled("why", Text.assemble(causes, (f"  ({sure})", "dim"))))
    if finding.do:
        parts.append(_labelled("do", Text(" ".join(finding.do.split()))))
    return Group(*parts)


def _labelled(label: str, text: Text) -> Table:
    """Return a word and a text that wraps beside it."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=5, justify="right", style="bold")
    grid.add_column()
    grid.add_row(label, text)
    return grid


def _plots(report: Report, finding: Finding) -> list[RenderableType]:
    series = report.run.series
    name = next((n for n in (*finding.plots, "train/loss") if n in series), None)
    if name is None:
        return []
    pair = {"train/loss": "eval/loss", "eval/loss": "train/loss"}.get(name)
    other = series.get(pair) if pair in finding.plots else None
    marks = [e.step for e in finding.evidence if e.step is not None and e.series in (name, pair)]
    marks += [s for s in (finding.first_step,) if s is not None]
    lines = plot(series[name], other, sorted(set(marks))[:6])
    title = name + (f" and {pair}" if other is not None else "")
    if not lines:
        return []
    return [
        Padding(
            Text("\n".join([f"{title}:", *lines]), "dim", no_wrap=True), (0, 0, 0, 4), expand=False
        )
    ]


def _plan(report: Report) -> list[RenderableType]:
    plan = report.plan
    written = [e for e in plan.edits if e.applies != "advice"]
    if not written and not plan.later and not plan.dropped:
        return []
    parts: list[RenderableType] = [Text("\n  next run", "bold")]
    parts.extend(_edit(e) for e in written)
    if plan.diff:
        diff = Syntax(clean(plan.diff), "diff", theme="ansi_dark", background_color="default")
        parts.append(Padding(diff, (0, 0, 0, 4), expand=False))
    elif plan.overrides:
        parts.append(Text("    " + " ".join(plan.overrides), "green"))
    if plan.later:
        keys = ", ".join(dict.fromkeys(e.key for e in plan.later))
        parts.append(Text(f"    later, one thing at a time: {keys}", "dim"))
    for edit in plan.dropped:
        parts.append(Text(f"    left out: {edit.key} {edit.op}: {clean(edit.note)}", "dim"))
    return parts


def _edit(edit: Edit) -> Text:
    if edit.resolved:
        change = f"{edit.native_old} -> {edit.native_new}"
    else:
        words = {"multiply": f"x {edit.operand}", "add": f"+ {edit.operand}"}
        change = words.get(edit.op, f"= {edit.operand}")
    text = Text.assemble("    ", (edit.native_key or edit.key, "bold"), f"  {change}")
    note = f"  ({edit.applies}; {', '.join(edit.because)}" + (
        f"; {edit.note})" if edit.note else ")"
    )
    return text.append(clean(note), "dim")


def _footer(report: Report, verbose: bool) -> Text:
    lacking = report.not_judged
    text = Text(f"  {len(report.ran)} checks ran, {len(lacking)} not judged", "dim")
    if verbose:
        for item in lacking:
            text.append(f"\n    {item.code}: {clean(item.why)}", "dim")
        for finding, by in report.suppressed:
            text.append(f"\n    {finding.code} {finding.name}: explained by {by}", "dim")
    elif lacking:
        text.append(f"{_lacking(lacking)} (--verbose lists them)")
    return text


def _lacking(items: Sequence[NotJudged]) -> str:
    """Sum up what was missing: series that were not logged, settings that are not known."""
    whys = [why for item in items for why in item.why.split("; ")]
    absent = [m[1] for why in whys if (m := _ABSENT.match(why))]
    unknown = [m[1] for why in whys if (m := _UNKNOWN.match(why))]
    parts = []
    if absent:
        parts.append(f"no {', '.join(dict.fromkeys(absent))}")
    if unknown:
        names = list(dict.fromkeys(unknown))
        more = ", ..." if len(names) > 3 else ""
        parts.append(f"not stated: {', '.join(names[:3])}{more}")
    return f": {'; '.join(parts)}" if parts else ""


def _closing(reports: Sequence[Report], failures: Sequence[Failure]) -> Text:
    count = dict.fromkeys(("error", "warning", "info"), 0)
    for report in reports:
        for finding in report.findings:
            count[finding.severity] += 1
    runs = f"{len(reports)} run{'s' if len(reports) != 1 else ''}"
    words = [f"{n} {s}{'s' if n != 1 and s != 'info' else ''}" for s, n in count.items() if n]
    line = f"{runs}: " + (", ".join(words) if words else "nothing to report")
    if failures:
        line += f"; {len(failures)} not read"
    bad = count["error"] or failures
    return Text(line, "bold red" if bad else "bold yellow" if count["warning"] else "bold green")
