"""A tuning session for people: what was tried, the curves, the diff, the gain and its cost."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
from rich.console import Console
from rich.text import Text

from advisor.base.redact import redact_value
from advisor.report.escaping import clean, one_line
from advisor.report.layout import Page
from advisor.report.plots import COLOURS, DOTS, plot
from advisor.run import Series
from advisor.tuning.account import Account
from advisor.tuning.ledger import Entry
from advisor.tuning.planning import format_value
from advisor.tuning.proof import Interval, SessionOutcome
from advisor.tuning.trial import Trial, TrialChange
from advisor.tuning.writing import to_native

_VERDICT = {"kept": "bold green", "reverted": "yellow", "start": "bold"}


def show_session(console: Console, account: Account, told: Container[int] = ()) -> None:
    """Print the account of a session; ``told`` are runs already on the screen."""
    page = Page(console)
    page.add_wrapped(Text.assemble(("tuning ", "bold"), one_line(str(account.setup.config))), 0)
    for entry in account.entries:
        if entry.plan.number not in told:
            _run(page, entry, account.changes_of(entry))
    _plot(page, account)
    _gain(page, account)
    best = account.best
    if best is not None and best.plan.diff:
        page.gap()
        page.whole(clean(best.plan.diff.rstrip("\n")))
    if account.untried:
        own = (to_native(account.start, change) for change in account.untried)
        left = "; ".join(map(change_line, own))
        page.add_wrapped(Text(f"left untried: {left}", "dim"), 0)
    page.show()


def change_line(change: TrialChange) -> str:
    """Return a change as one line, secrets hidden."""
    old, new = (redact_value(change.key, value) for value in (change.old, change.new))
    return one_line(f"{change.key} {format_value(old)} -> {format_value(new)}")


def _run(page: Page, entry: Entry, changes: Sequence[TrialChange]) -> None:
    plan, trial = entry.plan, entry.trial
    style = _VERDICT.get(entry.verdict, "dim")
    label = Text(f"  {plan.number:>3} ", style)
    what = "; ".join(map(change_line, changes)) or "as it is"
    line = Text.assemble((f"{plan.kind} ", "dim"), what)
    if trial is None:
        line.append(f"  {entry.state}", "magenta")
    else:
        line.append(f"  {result_line(entry, trial)}", style)
    page.add_wrapped(line, 6, label)
    why = plan.reason + (f" ({', '.join(plan.because)})" if plan.because else "")
    page.add_wrapped(Text(one_line(why), "dim"), 6)


def result_line(entry: Entry, trial: Trial) -> str:
    """Return the result of a run in a few words."""
    loss = "no validation loss" if trial.best_val is None else f"{trial.best_val:.4f}"
    said = f" ({one_line(entry.said)})" if entry.said and trial.status != "finished" else ""
    status = "" if trial.status == "finished" else f"{trial.status}{said}, "
    return f"{status}{loss} {entry.verdict}".rstrip()


def _plot(page: Page, account: Account) -> None:
    if not account.entries or not page.can_print(DOTS):
        return
    start, best = account.entries[0], account.best
    moved = best if best is not None and best.plan.number != start.plan.number else None
    one, other = _series(start), _series(moved) if moved else None
    lines = plot(one, other) if one is not None else []
    if not lines:
        return
    page.gap()
    for line in lines:
        page.whole(line)
    names = Text.assemble(("validation loss: the start", COLOURS[0]))
    if moved is not None and other is not None:
        names.append(f", run {moved.plan.number}", COLOURS[1])
    page.whole(names)


def _series(entry: Entry) -> Series | None:
    trial = entry.trial
    if trial is None or np.isfinite(trial.val_losses).sum() < 3:
        return None
    return Series("eval/loss", trial.val_steps, trial.val_losses)


def _gain(page: Page, account: Account) -> None:
    page.gap()
    for line in verdict_lines(account):
        page.add_wrapped(Text(line), 0)
    page.add_wrapped(Text(cost_line(account), "dim"), 0)


def verdict_lines(account: Account) -> list[str]:
    """Return the outcome in sentences."""
    outcome = account.outcome
    if outcome is None:
        return [one_line(account.failed or "the session has not ended; go on with --resume")]
    name = f"run {outcome.best}" if outcome.best > 1 else "the start"
    lines = [f"best: {name}; {outcome.why}", *_describe_proof(outcome)]
    return [one_line(line) for line in (*lines, *outcome.notes, f"stopped: {outcome.stopped}")]


def _describe_proof(outcome: SessionOutcome) -> list[str]:
    where = (
        f"on {outcome.samples} test samples that no decision looked at"
        if outcome.measured_on == "test" and outcome.samples
        else f"on {outcome.measured_on}"
    )
    if outcome.gain is not None and outcome.start_loss and outcome.best_loss:
        return [
            f"loss {within(outcome.start_loss)} -> {within(outcome.best_loss)} {where}:"
            f" a gain of {within(outcome.gain)}"
        ]
    loss = outcome.best_loss or outcome.start_loss
    return [f"loss {within(loss)} {where}"] if loss else []


def within(interval: Interval) -> str:
    """Return a value with its 95% interval."""
    if interval.low is None or interval.high is None:
        return f"{interval.value:.4f}"
    return f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"


def cost_line(account: Account) -> str:
    """Return what a session cost."""
    ended = [e.trial for e in account.entries if e.trial is not None]
    probes = sum(t.kind == "probe" for t in ended)
    full = len(ended) - probes
    count = f"{full} run{'s' if full != 1 else ''}"
    count += f" and {probes} probe{'s' if probes != 1 else ''}" if probes else ""
    tokens = f", {account.tokens:,} tokens" if account.tokens else ", tokens not logged"
    return f"cost: {count}{tokens}, {duration(account.seconds)}"


def duration(seconds: float) -> str:
    """Return seconds in words."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
