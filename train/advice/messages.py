"""Messages: a Change of the Monitor as an Event of the run, in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from advisor.base.redact import redact_text
from advisor.monitor import Change
from advisor.report.contract import finding_of, strict
from train.advice.decide import Decision
from train.checkpoint import Progress

KIND = "finding"  # of the Event; readers of the log skip it
_MOST = 160


def text_of(change: Change) -> str:
    """Return the console line: code, what is seen, what to do."""
    finding = change.finding
    head = f"{finding.severity}: {finding.code} {finding.name}"
    if change.kind == "withdrawn":
        return f"{head}: {change.by} takes its place" if change.by else f"{head}: no longer so"
    again = " (still)" if change.kind == "updated" else ""
    do = _short(finding.do)
    return f"{head}{again}: {redact_text(finding.message)}" + (f"; to do: {do}" if do else "")


def details_of(change: Change) -> Mapping[str, object]:
    """Return the finding as in the output contract, strict JSON with secrets hidden."""
    fields = {name: strict(value) for name, value in finding_of(change.finding).items()}
    by = {"by": change.by} if change.by else {}
    return {"change": change.kind, "action": change.action, **by, **fields}


def _short(text: str) -> str:
    """Return the first sentence, within bounds."""
    first = re.split(r"(?<=[.;])\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".;")
    return first if len(first) <= _MOST else f"{first[: _MOST - 3]}..."


def rollback_line(
    now: Progress, why: str, gone: Sequence[str] = ()
) -> tuple[str, dict[str, object]]:
    """Return the line and the numbers of a rollback; ``now`` is the progress after it."""
    steps = now.back_from + 1 - now.back_to
    text = (
        f"rolled back to step {now.back_to} ({why}); the learning rate is now "
        f"{now.lr_factor:.3g} of the planned one, the batches of {steps} steps are skipped; "
        f"rollback number {now.actions}"
    )
    details: dict[str, object] = {
        "to_step": now.back_to,
        "from_step": now.back_from,
        "lr_factor": now.lr_factor,
        "skipped_steps": steps,
        "action": now.actions,
        "removed": list(gone),
    }
    return text, details


def why_stopped(decision: Decision, saved: str | None, best: tuple[Path, float] | None) -> str:
    """Return why a run was stopped and where its result is, in one line."""
    what = "stopped early" if decision.kind == "early_stop" else "stopped"
    held = f"; saved in {saved}" if saved else ""
    if best is not None:
        held = f"; its result is {best[0].name}, held-out loss {best[1]:.4f} (LOWEST_VAL)"
    return f"{what} by the advisor: {decision.text}{held}"
