"""One optimiser step."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.precision import FLOAT32  # noqa: E402
from tests.train.loop.standins import CPU, Bigram, loss_sum, make_batch  # noqa: E402
from train.clock import HostClock  # noqa: E402
from train.data.types import Batch  # noqa: E402
from train.step import OutOfMemory, Stepper, split  # noqa: E402

LENGTHS = [3, 17, 4, 9, 12, 5, 8, 21]  # supervised tokens differ from row to row


def make_stepper(lr: float = 0.1, max_norm: float | None = 1.0, loss=loss_sum) -> Stepper:
    torch.manual_seed(0)
    model = Bigram()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return Stepper(model, list(model.parameters()), optimizer, loss, max_norm, CPU, HostClock())


def rows() -> list[Batch]:
    return [make_batch([n], seed) for seed, n in enumerate(LENGTHS)]


def joined(batches: list[Batch]) -> Batch:
    borders = torch.tensor([0, *[b.input_ids.numel() for b in batches]]).cumsum(0)
    return Batch(
        input_ids=torch.cat([b.input_ids for b in batches], 1),
        labels=torch.cat([b.labels for b in batches], 1),
        position_ids=torch.cat([b.position_ids for b in batches], 1),
        cu_seqlens=borders.int(),
        rows=len(batches), samples=len(batches),
        supervised=sum(b.supervised for b in batches), longest=max(LENGTHS),
    )  # fmt: skip


def test_eight_rows_of_one_step_as_one_micro_batch_of_eight() -> None:
    apart, together = make_stepper(), make_stepper()
    first, second = apart.step(rows(), 0.1), together.step([joined(rows())], 0.1)
    assert first.loss == pytest.approx(second.loss, rel=FLOAT32)
    assert first.grad_norm == pytest.approx(second.grad_norm, rel=FLOAT32)
    for a, b in zip(apart.parameters, together.parameters, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_the_loss_is_the_mean_over_supervised_tokens_of_all_micro_batches() -> None:
    stepper = make_stepper()
    with torch.no_grad():
        sums = [float(loss_sum(stepper.model, batch)[0]) for batch in rows()]
    tokens = sum(batch.supervised for batch in rows())
    assert stepper.step(rows(), 0.1).loss == pytest.approx(sum(sums) / tokens, rel=FLOAT32)


def test_counts_are_those_of_the_window() -> None:
    result = make_stepper().step(rows(), 0.1)
    assert (result.rows, result.samples, result.tokens) == (8, 8, sum(LENGTHS))
    assert result.supervised == sum(n - 2 for n in LENGTHS)


def test_a_norm_over_the_limit_is_clipped_and_reported_as_it_was() -> None:
    stepper = make_stepper(lr=1.0, max_norm=0.01)
    before = [p.detach().clone() for p in stepper.parameters]
    result = stepper.step(rows(), 1.0)
    pairs = zip(before, stepper.parameters, strict=True)
    moved = math.sqrt(sum(float(((a - b.detach()) ** 2).sum()) for a, b in pairs))
    assert result.clipped
    assert result.grad_norm > 0.01
    assert moved == pytest.approx(0.01, rel=1e-3)


def test_without_a_limit_nothing_is_clipped_and_the_norm_is_the_same() -> None:
    free, clipped = make_stepper(max_norm=None), make_stepper(max_norm=0.01)
    first, second = free.step(rows(), 0.1), clipped.step(rows(), 0.1)
    assert not first.clipped
    assert first.grad_norm == pytest.approx(second.grad_norm, rel=FLOAT32)


def test_a_step_without_a_finite_loss_changes_no_weight() -> None:
    def poisoned(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
        value, count = loss_sum(model, batch)
        return value * math.inf, count

    stepper = make_stepper(loss=poisoned)
    before = [p.detach().clone() for p in stepper.parameters]
    result = stepper.step(rows(), 0.1)
    assert not result.applied
    assert all(torch.equal(a, b) for a, b in zip(before, stepper.parameters, strict=True))
    assert all(p.grad is None for p in stepper.parameters)


def test_out_of_memory_names_the_micro_batch_and_leaves_no_gradient() -> None:
    def small(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
        if batch.input_ids.numel() > 20:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return loss_sum(model, batch)

    stepper = make_stepper(loss=small)
    with pytest.raises(OutOfMemory) as caught:
        stepper.step(rows(), 0.1)
    assert caught.value.batch is not None
    assert caught.value.batch.longest == 21
    assert all(p.grad is None for p in stepper.parameters)


def test_another_error_of_the_model_goes_through() -> None:
    def broken(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        make_stepper(loss=broken).step(rows(), 0.1)


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 8, 16])
def test_a_split_batch_is_the_same_documents_in_order(parts: int) -> None:
    batch = joined(rows())
    pieces = list(split(batch, parts))
    assert len(pieces) == min(parts, 8)
    assert torch.equal(torch.cat([p.input_ids for p in pieces], 1), batch.input_ids)
    assert sum(p.supervised for p in pieces) == batch.supervised
    assert sum(p.samples for p in pieces) == batch.samples
    assert sum(p.rows for p in pieces) == batch.rows
    for piece in pieces:
        assert piece.cu_seqlens[0] == 0
        assert piece.cu_seqlens[-1] == piece.input_ids.numel()


def test_a_step_in_pieces_is_the_step_in_one() -> None:
    whole, pieces = make_stepper(), make_stepper()
    pieces.parts = 4
    first, second = whole.step([joined(rows())], 0.1), pieces.step([joined(rows())], 0.1)
    assert first.loss == pytest.approx(second.loss, rel=FLOAT32)
    for a, b in zip(whole.parameters, pieces.parameters, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
