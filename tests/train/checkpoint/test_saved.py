"""State on disk without pickle, and folders that land whole."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.train.loop.standins import Setup, with_steps  # noqa: E402
from train.checkpoint import Checkpoints, Progress, Snapshot  # noqa: E402
from train.checkpoint_files import (  # noqa: E402
    load_optimizer,
    point,
    recover,
    replace_folder,
    save_optimizer,
    target_of,
)
from train.config.types import OptimizerConfig, StepConfig  # noqa: E402
from train.errors import CheckpointError  # noqa: E402
from train.optim import build_optimizer  # noqa: E402
from train.state_json import from_plain, to_plain  # noqa: E402

leaves = (
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(allow_nan=False)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner)
    | st.lists(inner).map(tuple),
    max_leaves=20,
)  # fmt: skip


@given(values)
def test_nested_state_comes_back_from_json_as_it_was(value: Any) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(value)))) == value


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).reshape(2, 3),
        torch.tensor(2.5),
        torch.tensor([1.0, float("nan")], dtype=torch.bfloat16),
        torch.empty(0, 4),
        torch.tensor([True, False]),
        torch.Generator().manual_seed(3).get_state(),
    ],
    ids=lambda tensor: f"{tensor.dtype}{tuple(tensor.shape)}",
)
def test_tensors_come_back_with_their_type_shape_and_bits(tensor: torch.Tensor) -> None:
    found = from_plain(json.loads(json.dumps(to_plain({"t": tensor}))))["t"]
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    assert torch.equal(found.nan_to_num(), tensor.nan_to_num())


def test_an_object_without_a_plain_form_is_refused() -> None:
    with pytest.raises(CheckpointError, match="object in the state of the data loader"):
        to_plain({"sampler": object()})


def trained(name: str, steps: int = 3) -> tuple[Any, torch.optim.Optimizer]:
    torch.manual_seed(1)
    layer = torch.nn.Linear(64, 64)
    options = {"min_8bit_size": 16} if "8bit" in name else {}
    optimizer = build_optimizer(
        OptimizerConfig(name=name, lr=0.01, options=options), layer.parameters()
    )
    step(layer, optimizer, steps)
    return layer, optimizer


def step(layer: Any, optimizer: torch.optim.Optimizer, times: int) -> None:
    for _ in range(times):
        layer(torch.ones(2, 64)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


OPTIMIZERS = ["AdamW", "SGD", "Adam", "Adafactor", "NAdam", "AdamW8bit"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimiser_goes_on_to_the_bit_from_its_files(name: str, tmp_path: Path) -> None:
    if name == "AdamW8bit":
        pytest.importorskip("bitsandbytes")
    layer, optimizer = trained(name)
    save_optimizer(optimizer, tmp_path / "optim")
    other, fresh = trained(name, steps=1)
    other.load_state_dict(layer.state_dict())
    load_optimizer(fresh, tmp_path / "optim")
    step(layer, optimizer, 3)
    step(other, fresh, 3)
    assert torch.equal(layer.weight, other.weight)


def test_state_of_another_model_is_refused_with_one_line(tmp_path: Path) -> None:
    _, optimizer = trained("AdamW")
    save_optimizer(optimizer, tmp_path / "optim")
    other = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))])
    with pytest.raises(CheckpointError, match="does not fit the optimiser"):
        load_optimizer(other, tmp_path / "optim")


def test_damaged_tensors_are_refused_with_one_line(tmp_path: Path) -> None:
    _, optimizer = trained("AdamW")
    save_optimizer(optimizer, tmp_path / "optim")
    (tmp_path / "optim" / "optimizer.safetensors").write_bytes(b"\x08" + b"\0" * 20)
    with pytest.raises(CheckpointError, match="resume from another"):
        load_optimizer(optimizer, tmp_path / "optim")


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "x").write_text(content)
    return path


def test_a_folder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    final = folder(tmp_path / "epoch_0_step_1", "old")
    replace_folder(folder(tmp_path / ".epoch_0_step_1.new", "new"), final)
    assert (final / "x").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["epoch_0_step_1"]


def test_a_kill_between_the_moves_is_undone(tmp_path: Path) -> None:
    folder(tmp_path / ".epoch_0_step_1.old", "old")
    recover(tmp_path)
    assert (tmp_path / "epoch_0_step_1" / "x").read_text() == "old"


def test_a_kill_before_the_old_folder_went_leaves_the_new_one(tmp_path: Path) -> None:
    folder(tmp_path / ".epoch_0_step_1.old", "old")
    folder(tmp_path / "epoch_0_step_1", "new")
    recover(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["epoch_0_step_1"]
    assert (tmp_path / "epoch_0_step_1" / "x").read_text() == "new"


def test_a_link_moves_in_one_go_and_may_be_a_text_file(tmp_path: Path) -> None:
    first, second = folder(tmp_path / "a", ""), folder(tmp_path / "b", "")
    point(tmp_path / "LATEST", first)
    point(tmp_path / "LATEST", second)
    assert target_of(tmp_path / "LATEST") == second
    (tmp_path / "LATEST").unlink()
    (tmp_path / "LATEST").write_text("a\n")
    assert target_of(tmp_path / "LATEST") == first


def run(directory: Path) -> Setup:
    steps = StepConfig(global_batch_size=2, num_epochs=1, ckpt_every_steps=2)
    return Setup(steps=steps, directory=directory)


def checkpoints(directory: Path) -> Checkpoints:
    parts, _ = run(directory).build()
    assert parts.checkpoints is not None
    return parts.checkpoints


def test_without_a_link_the_latest_is_the_highest_step(tmp_path: Path) -> None:
    run(tmp_path).run()
    (tmp_path / "LATEST").unlink()
    assert checkpoints(tmp_path).find("latest").name == "epoch_0_step_5"


def test_a_half_written_checkpoint_is_never_taken_and_is_tidied_away(tmp_path: Path) -> None:
    run(tmp_path).run()
    half = tmp_path / ".epoch_0_step_7.new"
    shutil.copytree(tmp_path / "epoch_0_step_5", half)
    found = checkpoints(tmp_path)
    latest = found.find("latest")
    found.load(latest)
    assert latest.name == "epoch_0_step_5"
    assert not half.exists()


def test_going_on_from_an_earlier_checkpoint_makes_it_the_latest(tmp_path: Path) -> None:
    run(tmp_path).run()
    found = checkpoints(tmp_path)
    found.load(found.find("epoch_0_step_1"))
    assert checkpoints(tmp_path).find("latest").name == "epoch_0_step_1"


def test_a_name_without_a_checkpoint_lists_those_there_are(tmp_path: Path) -> None:
    run(tmp_path).run()
    with pytest.raises(CheckpointError, match=r"there are epoch_0_step_1, .*epoch_0_step_5"):
        checkpoints(tmp_path).find("epoch_0_step_4")


def test_nothing_to_resume_from_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint to resume from"):
        checkpoints(tmp_path).find("latest")


Usage = namedtuple("Usage", "total used free")


def test_a_full_disk_is_told_with_the_sizes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 9, 1))
    with pytest.raises(CheckpointError, match=r"a checkpoint needs .* MB, free are 0.0 MB"):
        checkpoints(tmp_path).check_space()


def test_a_disk_that_fills_up_within_the_run_ends_it_only_at_the_last_checkpoint(
    tmp_path: Path, monkeypatch: Any
) -> None:
    parts, sink = with_steps(run(tmp_path), num_epochs=1).build()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 9, 1))
    from train.loop import TrainingLoop

    with pytest.raises(CheckpointError, match="free are"):
        TrainingLoop(parts).run()
    assert len(sink.steps) == 6
    assert [e.step for e in sink.events("warning")] == [2, 4]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), "rust"])
def test_a_disk_that_fills_up_within_a_checkpoint_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: Any, error: Any
) -> None:
    class Full:
        def size(self) -> int:
            return 0

        def save(self, folder: Path) -> None:
            folder.mkdir()
            raise Exception("No space left on device (os error 28)") if error == "rust" else error

    run(tmp_path).run()
    before = checkpoints(tmp_path).all()
    saver = checkpoints(tmp_path)
    saver.weights = Full()
    with pytest.raises(CheckpointError, match="cannot be written: No space left on device"):
        saver.save("epoch_9_step_99", Snapshot(progress=Progress(), loader=None))
    assert checkpoints(tmp_path).all() == before
    assert not list(tmp_path.glob(".epoch_*"))
