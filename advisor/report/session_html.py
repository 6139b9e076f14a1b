"""A tuning session as one HTML page: no network, no scripts, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from advisor.report.curves_svg import PlottedCurve, colour, draw
from advisor.report.escaping import clean, one_line
from advisor.report.html_page import diff_block, page
from advisor.report.session_text import (
    change_line,
    cost_line,
    duration,
    result_line,
    verdict_lines,
    within,
)
from advisor.tuning.account import Account, select_drawable
from advisor.tuning.ledger import Entry
from advisor.tuning.proof import SessionOutcome
from advisor.tuning.writing import to_native


def to_html(account: Account) -> str:
    """Return the page."""
    title = f"Tuning {one_line(account.setup.config.name)}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(one_line(str(account.folder)))}</p>',
        _verdict(account),
        "<h2>Validation loss of the runs</h2>",
        _curves(account),
        "<h2>What was tried, and why</h2>",
        _table(account),
        _diff(account),
        _list_untried(account),
    ]
    return page(title, parts)


def _verdict(account: Account) -> str:
    outcome = account.outcome
    lines = [f"<p>{escape(line)}</p>" for line in verdict_lines(account)]
    lines.append(f'<p class="soft">{escape(cost_line(account))}</p>')
    return (_figures(outcome) if outcome else "") + "".join(lines)


def _figures(outcome: SessionOutcome) -> str:
    shown = [
        ("loss of the start", outcome.start_loss),
        ("loss of the best", outcome.best_loss if outcome.better else None),
        ("gain", outcome.gain),
    ]
    boxes = [
        f'<div class="figure"><span class="soft">{name}, {escape(outcome.measured_on)}</span>'
        f"<b>{each.value:.4f}</b>{escape(within(each)[len(f'{each.value:.4f}') :].strip())}</div>"
        for name, each in shown
        if each is not None
    ]
    return f'<div class="figures">{"".join(boxes)}</div>' if boxes else ""


def _curves(account: Account) -> str:
    found = [
        PlottedCurve(
            _label(entry), trial.val_steps, trial.val_losses, colour(at),
            entry is account.best or entry.plan.number == 1, trial.kind == "probe",
        )
        for at, (entry, trial) in enumerate(select_drawable(account.entries))
    ]  # fmt: skip
    picture = draw(found)
    if not picture:
        return '<p class="soft">No run logged a validation loss.</p>'
    key = "".join(
        f'<span><i style="border-color:{c.colour};'
        f'border-top-style:{"dashed" if c.dashed else "solid"}"></i>{escape(c.label)}</span>'
        for c in found
    )
    return f'{picture}<div class="key">{key}</div>'


def _label(entry: Entry) -> str:
    name = "the start" if entry.plan.number == 1 else f"{entry.plan.kind} {entry.plan.number}"
    return name.replace("full ", "run ")


def _table(account: Account) -> str:
    rows = "".join(_row(entry, account) for entry in account.entries)
    head = "".join(f"<th>{name}</th>" for name in ("", "change from the start", "why", "result",
                                                     "tokens", "time"))  # fmt: skip
    return f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _row(entry: Entry, account: Account) -> str:
    plan, trial, best = entry.plan, entry.trial, entry is account.best
    written = account.changes_of(entry)
    changes = "<br>".join(escape(change_line(c)) for c in written) or "as it is"
    codes = f" ({', '.join(plan.because)})" if plan.because else ""
    result = result_line(entry, trial) if trial is not None else entry.state
    tone = {"kept": "good", "reverted": "soft"}.get(entry.verdict, "")
    if trial is not None and trial.status not in ("finished", "aborted"):
        tone = "bad"
    found = sorted({f.symptom for f in trial.findings} - {"config"}) if trial else []
    seen = f'<br><span class="soft">{escape(", ".join(found))}</span>' if found else ""
    tokens = f"{trial.tokens:,}" if trial is not None and trial.tokens else ""
    return (
        f'<tr{" class=best" if best else ""}><td class="number">{escape(_label(entry))}</td>'
        f"<td>{changes}</td><td>{escape(one_line(plan.reason + codes))}</td>"
        f'<td class="{tone}">{escape(result)}{seen}</td>'
        f'<td class="number">{tokens}</td><td class="number">{duration(entry.seconds)}</td></tr>'
    )


def _diff(account: Account) -> str:
    best = account.best
    if best is None or not best.plan.diff:
        return ""
    return "<h2>From the start to the best config</h2>" + diff_block(clean(best.plan.diff))


def _list_untried(account: Account) -> str:
    own = (to_native(account.start, c) for c in account.untried)
    left: Sequence[str] = [escape(change_line(c)) for c in own]
    if not left:
        return ""
    items = "".join(f"<li>{line}</li>" for line in left)
    return f"<h2>Proposed and left untried</h2><ul>{items}</ul>"
