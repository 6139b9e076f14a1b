"""The live view of `advise watch`: curves, progress, findings and what to do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from advisor.findings import Finding
from advisor.pipeline import Failure
from advisor.report.escaping import one_line
from advisor.report.evidence import evidence_lines
from advisor.report.layout import Page
from advisor.report.live_lines import name_of, what_of
from advisor.report.live_numbers import numbers_of, standing_of
from advisor.report.plots import COLOURS, DOTS, MARK, plot
from advisor.report.text import COLOUR, STATUS
from advisor.watch import Followed, News, Watcher

AXIS = 14  # columns that the labels of a plot take
WIDE = 100  # columns from which plots are side by side
GAP = 2  # columns between them
MOST_NEWS = 4
LEAST = 12  # columns below which the rest of a line is useless
TALL, LOW = 6, 4  # lines of a plot for one run, and for several


class LiveView:
    """A full screen that is redrawn at each look; the previous screen content is restored at the
    end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False, transient=True)
        self._news: list[Text] = []

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._live.stop()

    def show(self, news: Sequence[News], watcher: Watcher) -> None:
        now = time.strftime("%H:%M:%S")
        self._news += [line for item in news if (line := _line(item, now)) is not None]
        self._news = self._news[-MOST_NEWS:]
        self._live.update(screen_of(watcher, self._news, self._console), refresh=True)


def screen_of(watcher: Watcher, news: Sequence[Text], console: Console) -> RenderableType:
    """Return the lines that fit the terminal: details of runs with findings before those of healthy
    ones."""
    height, width = max(10, console.height), max(40, console.width)
    lines = _heading(watcher, news)
    runs = sorted(watcher.runs.values(), key=_rank)
    for i, run in enumerate(runs):
        room = height - len(lines) - (len(runs) - i - 1) - 1
        block = _block(run, console, TALL if len(runs) == 1 else LOW) if room > LOW else []
        lines += (block or [_title(run, Page(console), whole=True)])[: max(1, room)]
    if watcher.absent:
        names = ", ".join(str(path) for path in watcher.absent[:3])
        lines.append(Text(one_line(f"waiting for {names}"), "dim"))
    lines += [Text(one_line(f"not read: {f.message}"), "magenta") for f in _unread(watcher)]
    mark = _cut_mark(Page(console))
    for line in lines:
        if line.cell_len > width:
            line.truncate(width - len(mark))
            line.append(mark)
        line.no_wrap = True
    return Group(*lines[: height - 1])


def _heading(watcher: Watcher, news: Sequence[Text]) -> list[Text]:
    ago = max(0, round(time.monotonic() - watcher.grown_at))
    head = Text.assemble(
        ("advise watch", "bold"),
        (f"  {time.strftime('%H:%M:%S')}, grown {ago} s ago, Ctrl-C ends with the report", "dim"),
    )
    return [head, *news, Text("")]


def _unread(watcher: Watcher) -> list[Failure]:
    absent = {str(path) for path in watcher.absent}
    return [failure for failure in watcher.failures if failure.path not in absent][:3]


def _rank(run: Followed) -> tuple[int, bool, str]:
    order = ("failing", "warning", "unknown", "ok")
    return order.index(run.status), run.over, str(run.path)


def _cut_mark(page: Page) -> str:
    return "…" if page.can_print("…") else "..."


def _title(run: Followed, page: Page, whole: bool) -> Text:
    """Return the name and status of a run; ``whole`` adds its progress, for a run of one line."""
    status, name = run.status, one_line(name_of(run))
    room = page.width - len(f"  {status}")
    if len(name) > room:  # the end of a path identifies the run, and the status must be visible
        mark = _cut_mark(page)
        name = mark + name[len(name) + len(mark) - room :]
    title = Text.assemble((name, "bold"), "  ", (status, STATUS[status]))
    if whole and title.cell_len + LEAST <= page.width:
        title.append(f"  {_standing(run)}", "dim")
    return title


def _standing(run: Followed) -> str:
    return standing_of(run.run) + (", ended" if run.over else "")


def _block(run: Followed, console: Console, height: int) -> list[Text]:
    """Return everything shown of one run: title, findings, curves and numbers."""
    page = Page(console)
    page.whole(_title(run, page, whole=False))
    page.whole(Text(_standing(run), "dim"), 2)
    findings = run.standing
    loud = [finding for finding in findings if finding.severity != "info"]
    for finding in sorted(loud, key=lambda f: f.severity != "error"):
        _finding(page, finding)
    if quiet := [finding for finding in findings if finding.severity == "info"]:
        names = ", ".join(f"{finding.code} {finding.name}" for finding in quiet)
        page.add_wrapped(Text(f"remarks: {names}", "cyan"), 2)
    if not findings:
        style = "green" if run.status == "ok" else "dim"
        page.whole(Text(_nothing(run), style), 2)
    for line in _plots(run, page, height):
        page.whole(line)
    for title, now, said in numbers_of(run.run):
        text = Text.assemble((f"  {title:<10} ", "bold"), f"{now:>10}", (f"  {said}", "dim"))
        page.whole(text)
    page.gap()
    return page.lines


def _nothing(run: Followed) -> str:
    """Return the line for a run without findings, and why that may not mean that all is well."""
    if run.status == "unknown":
        why = run.report.unknown_because if run.report else "nothing was read"
        return one_line(f"cannot be judged yet: {why}")
    return "nothing to report" if run.over else "nothing to report so far"


def _finding(page: Page, finding: Finding) -> None:
    head = Text.assemble(
        (f"{finding.severity} ", COLOUR[finding.severity]),
        (f"{finding.code} {finding.name}: ", "bold"),
        one_line(finding.message),
    )
    page.add_wrapped(head, 2)
    for line in evidence_lines(finding, 2):
        page.add_wrapped(Text(line, "dim"), 4)
    if finding.do:
        page.add_wrapped(Text(" ".join(finding.do.split())), 7, Text("    do ", "bold"))


def _plots(run: Followed, page: Page, height: int) -> list[Text]:
    """Draw the losses, and beside them the gradient norm or the rate if there is room."""
    series = run.run.series
    if not page.can_print(f"{DOTS}{MARK}"):
        return []
    second = next((n for n in ("train/grad_norm", "train/lr") if n in series), None)
    wide = page.width >= WIDE and second is not None
    width = (page.width - GAP) // 2 - AXIS if wide else page.width - AXIS
    left = _plot(run, "train/loss" if "train/loss" in series else "eval/loss", width, height)
    if not wide or second is None:
        return left
    right = _plot(run, second, width, height)
    return _side_by_side(left, right, width + AXIS + GAP)


def _plot(run: Followed, name: str, width: int, height: int) -> list[Text]:
    series = run.run.series
    if name not in series:
        return []
    other = series.get("eval/loss") if name == "train/loss" else None
    told = [finding for finding in run.standing if name in finding.plots]
    marks = {f.first_step for f in told if f.first_step is not None and f.severity != "info"}
    lines = plot(series[name], other, sorted(marks)[:6], width, height)
    if not lines:
        return []
    title = Text(f"  {name}", COLOURS[0])
    if other is not None:
        title.append(" and ", "dim").append("eval/loss", COLOURS[1])
    return [title, *lines]


def _side_by_side(left: list[Text], right: list[Text], at: int) -> list[Text]:
    out = []
    for i in range(max(len(left), len(right))):
        line = left[i].copy() if i < len(left) else Text("")
        line.append(" " * max(0, at - line.cell_len))
        out.append(line.append_text(right[i]) if i < len(right) else line)
    return out


def _line(item: News, now: str) -> Text | None:
    """Return the news as a line of the view; None for a finding, which has a block."""
    if item.kind in ("waiting", "failed", "report"):
        return None
    place = Path(item.path)
    where = one_line(place.parent.name or place.name)
    change = item.change
    if change is None:
        return Text(one_line(f"{now} {where}: {what_of(item)}"), "dim")
    finding = change.finding
    style = "green" if item.kind == "withdrawn" else COLOUR[finding.severity]
    return Text.assemble(
        (f"{now} {where}: step {change.step} ", "dim"),
        (f"{item.kind} ", style),
        f"{finding.code} {finding.name}",
        f", {change.by} takes its place" if change.by else "",
    )
