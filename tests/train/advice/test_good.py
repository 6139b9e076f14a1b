"""States to go back to."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from train.advice.saved_states import SavedState, SavedStates  # noqa: E402


def states(folder: Path) -> tuple[SavedStates, torch.nn.Linear]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    return SavedStates(folder, list(layer.named_parameters()), optimizer), layer


def step(found: SavedStates, layer: torch.nn.Linear) -> None:
    layer(torch.ones(3)).sum().backward()
    found.optimizer.step()
    found.optimizer.zero_grad()


def test_weights_and_optimiser_come_back_to_the_bit(tmp_path: Path) -> None:
    found, layer = states(tmp_path)
    step(found, layer)
    found.keep(SavedState(1, 2.5, 2.25))
    step(found, layer)
    after = {n: p.detach().clone() for n, p in layer.named_parameters()}
    step(found, layer)
    good = found.before(3)
    assert good == SavedState(1, 2.5, 2.25)
    found.load(good)
    step(found, layer)
    assert all(torch.equal(p, after[n]) for n, p in layer.named_parameters())


def test_the_first_and_the_newest_stay_and_the_old_ones_thin_out(tmp_path: Path) -> None:
    found, _ = states(tmp_path)
    for at in range(0, 200, 10):
        found.keep(SavedState(at))
    kept = [good.step for good in found.all()]
    assert len(kept) == 5 and kept[0] == 0 and kept[-1] == 190
    gaps = [b - a for a, b in pairwise(kept)]
    assert gaps[0] > gaps[-1]


def test_states_of_steps_to_be_taken_anew_are_dropped(tmp_path: Path) -> None:
    found, _ = states(tmp_path)
    for at in (0, 10, 20):
        found.keep(SavedState(at))
    found.forget_after(10)
    assert [good.step for good in found.all()] == [0, 10]


def test_a_state_that_a_kill_left_half_written_is_none(tmp_path: Path) -> None:
    found, _ = states(tmp_path)
    found.keep(SavedState(0))
    (tmp_path / "step_10.new").mkdir()
    (tmp_path / "step_20").mkdir()
    assert [good.step for good in found.all()] == [0]
