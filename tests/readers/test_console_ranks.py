"""Rows and skipped steps that several processes tell of, and closing lines of epochs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.readers.console import reader as console
from advisor.run import Run

Reads = Callable[[str], Run]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    def read(text: str) -> Run:
        path = tmp_path / "train.log"
        path.write_text(text)
        (run,) = console.read(path)
        return run

    return read


def loss(i: int) -> float:
    return 1 + math.exp(-i / 20) + 0.01 * (i % 3)


CLOSED = {
    "the same words": ("epoch {e} step {s} loss {l:.4f}", "epoch {e} step {s} loss {l:.4f}"),
    "a word more": ("Epoch {e} | Step {s} | loss {l}", "Epoch {e} end | Step {s} | loss {l}"),
    "no epoch before": ("step {s}: loss {l:.4f}", "== epoch {e}: step {s}, loss {l:.4f}"),
    "dictionaries": (
        "{{'epoch': {e}, 'step': {s}, 'loss': {l:.4f}}}",
        "{{'epoch': {e}, 'step': {s}, 'loss': {l:.4f}}}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_the_closing_line_of_an_epoch_is_no_training_point(name: str, reads: Reads) -> None:
    row, closing = CLOSED[name]
    lines = []
    for i in range(1, 61):
        epoch = (i - 1) // 20 + 1
        lines.append(row.format(e=epoch, s=i * 10, l=loss(i)))
        if i % 20 == 0:
            lines.append(closing.format(e=epoch, s=i * 10, l=7.0 + epoch))
    run = reads("\n".join(lines))
    assert len(run.series["train/loss"]) == 60
    assert run.series["train/loss"].values.max() < 3
    assert run.series["train/epoch_loss"].values.tolist() == [8, 9, 10]


def _ranks(ranks: int, rate: Callable[[int], float] = lambda i: 1e-4 / i, epoch: int = 1) -> str:
    return "".join(
        f"{{'loss': {loss(i) + 0.01 * rank:.4f}, 'learning_rate': {rate(i):.5g}, "
        f"'epoch': {i / 10 if epoch else (i + 19) // 20}}}\n"
        for i in range(1, 41)
        for rank in range(ranks)
    )


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_ranks_whose_losses_differ_count_once_where_the_rate_shows_the_step(
    ranks: int, reads: Reads
) -> None:
    run = reads(_ranks(ranks))
    assert run.series["train/loss"].values.tolist() == [round(loss(i), 4) for i in range(1, 41)]
    assert any(f"in the log {ranks} times" in note for note in run.notes)


def test_a_rate_set_once_an_epoch_makes_its_rows_no_ranks(reads: Reads) -> None:
    run = reads(_ranks(1, rate=lambda i: 1e-4 / ((i + 19) // 20), epoch=0))
    assert len(run.series["train/loss"]) == 40


SCALE = "OVERFLOW! Rank {r} Skipping step. Attempted loss scale: {a}, reducing to {b}\n"
BARE = "[deepspeed] OVERFLOW! Skipping step. Attempted loss scale: {a}, reducing to {b}\n"


@pytest.mark.parametrize("words", [SCALE, BARE, "[rank{r}]: " + BARE])
@pytest.mark.parametrize("ranks", [1, 8])
def test_a_skipped_step_counts_once_however_many_ranks_tell_of_it(
    words: str, ranks: int, reads: Reads
) -> None:
    lines = []
    for i in range(1, 31):
        if i in (3, 4, 9):
            lines += [words.format(r=r, a=2 ** (30 - i), b=2 ** (29 - i)) for r in range(ranks)]
        lines.append(f"step {i} loss {loss(i):.4f}\n")
    run = reads("".join(lines))
    skipped = [event.step for event in run.events if event.kind == "overflow_skip"]
    assert skipped == [2, 3, 8]


def test_a_scale_at_its_floor_is_told_again_by_one_process(reads: Reads) -> None:
    floor = BARE.format(a=1, b=1) * 5
    run = reads("".join(f"step {i} loss {loss(i):.4f}\n" for i in range(1, 31)) + floor)
    assert sum(event.kind == "overflow_skip" for event in run.events) == 5
