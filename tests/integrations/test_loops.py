"""Plain loops: with Accelerate's trackers, and with the Monitor in three lines."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("accelerate")

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from advisor.integrations.accelerate import AdvisorTracker
from advisor.monitor import Monitor
from tests.integrations.tiny import Counting, Heard, model

pytestmark = pytest.mark.integration
STEPS = 80


def optimiser_of(net: torch.nn.Module, lr: float) -> Any:
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
    falls = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    return optimizer, falls


def accelerated(tracker: AdvisorTracker, lr: float) -> int:
    """Train for real with Accelerate; return the steps that were made."""
    accelerator = Accelerator(cpu=True, log_with=[tracker])
    accelerator.init_trackers("counting", config={"lr": lr, "batch_size": 8, "max_steps": STEPS})
    net = model()
    optimizer, rates = optimiser_of(net, lr)
    loader = DataLoader(Counting(8 * STEPS), batch_size=8)
    net, optimizer, loader, rates = accelerator.prepare(net, optimizer, loader, rates)
    step = 0
    for batch in loader:
        loss = net(**batch).loss
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rates.step()
        optimizer.zero_grad()
        step += 1
        row = {"train/loss": loss.item(), "train/grad_norm": float(norm)}
        accelerator.log({**row, "lr": rates.get_last_lr()[0]}, step=step)
        if tracker.should_stop:
            break
    accelerator.end_training()
    return step


def test_a_healthy_loop_with_accelerate_hears_no_warning() -> None:
    heard = Heard()
    tracker = AdvisorTracker(say=heard)
    assert accelerated(tracker, lr=5e-3) == STEPS
    assert not heard.loud()
    report = tracker.advice.report()
    assert report is not None
    assert len(report.run.series["train/loss"]) == STEPS
    assert report.run.config.values["optimizer.lr"] == 5e-3


def test_a_sick_loop_with_accelerate_is_told_and_stopped() -> None:
    heard = Heard()
    steps = accelerated(AdvisorTracker("stop", say=heard), lr=3.0)
    assert heard.loud()
    assert steps < STEPS


def plain(lr: float, poison: int = STEPS + 1) -> tuple[list[str], int]:
    """The example of docs/live.md: a loop of one's own with the Monitor."""
    net = model()
    optimizer, rates = optimiser_of(net, lr)
    told = []
    monitor = Monitor({"optimizer.lr": lr}, policy="stop", facts={"max_steps": STEPS})
    step = 0
    for batch in DataLoader(Counting(8 * STEPS), batch_size=8):
        loss = net(**batch).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rates.step()
        optimizer.zero_grad()
        step += 1
        value = loss.item() if step < poison else math.nan
        changes = monitor.observe(
            step, loss=value, grad_norm=float(norm), lr=rates.get_last_lr()[0]
        )
        told += [c.finding.code for c in changes if c.finding.severity != "info"]
        if any(change.action == "stop" for change in changes):
            break
    told += [c.finding.code for c in monitor.close() if c.finding.severity != "info"]
    return told, step


def test_a_healthy_plain_loop_hears_no_warning() -> None:
    assert plain(5e-3) == ([], STEPS)


def test_a_plain_loop_stops_where_its_loss_is_no_number() -> None:
    told, step = plain(5e-3, poison=30)
    assert "NUM001" in told
    assert step < STEPS
