"""Whole runs on a tiny model: each method, packed and not, and what is left on disk."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.precision import FLOAT32  # noqa: E402
from tests.train.runs.launch import advise, curve, events, rows, run  # noqa: E402
from tests.train.runs.tiny import LORA, config_text  # noqa: E402
from train.errors import CheckpointError, StepError, TrainConfigError  # noqa: E402

QUANTISED = {"load_in_4bit": True, "bnb_4bit_compute_dtype": "float32"}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"peft": LORA},
    "dora": {"peft": {**LORA, "use_dora": True}},
    "qlora": {"peft": LORA, "quantization": QUANTISED},
}
PACKED = {"packed_sequence": {"packed_sequence_size": 64}}


def config(world: Path, place: Path, **sections: Any) -> Path:
    path = place / "config.yaml"
    path.write_text(config_text(world, **sections))
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["rows", "packed"])
@pytest.mark.parametrize("method", METHODS)
def test_a_run_learns_and_is_read_as_what_it_is(
    method: str, packed: bool, world: Path, tmp_path: Path
) -> None:
    from advisor.config.attach import attach_config
    from advisor.readers.discover import read_runs

    sections = {**METHODS[method], **(PACKED if packed else {})}
    outcome = run(config(world, tmp_path, **sections), tmp_path / "run")
    steps = len(rows(tmp_path / "run"))
    assert outcome.status == "finished"
    assert outcome.val_loss < outcome.baseline_loss
    (found,) = read_runs(tmp_path / "run")
    found = attach_config(found, tmp_path / "run")
    assert (found.format, found.config.values["method"]) == ("automodel", method)
    assert len(found.series["train/loss"]) == steps
    assert found.series["eval/loss"].steps[0] == -1
    assert found.facts["max_steps"] == steps


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_equals_an_uninterrupted_one(
    method: str, world: Path, tmp_path: Path
) -> None:
    path = config(world, tmp_path, **METHODS[method])
    run(path, tmp_path / "run")
    whole = curve(tmp_path / "run")
    (tmp_path / "run" / "training.jsonl").unlink()
    run(path, tmp_path / "run", resume="epoch_0_step_4")
    assert curve(tmp_path / "run") == whole[5:]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("packed", [False, True], ids=["rows", "packed"])
def test_resuming_is_exact_with_workers_and_packing(
    packed: bool, workers: int, world: Path, tmp_path: Path
) -> None:
    sections = {"peft": LORA, **(PACKED if packed else {})}
    steps = {"global_batch_size": 4, "local_batch_size": 2, "num_epochs": 2, "ckpt_every_steps": 1}
    loader = {"num_workers": workers}
    path = config(
        world, tmp_path, step_scheduler=steps, dataloader=loader, validation_dataset=None,
        **sections,
    )  # fmt: skip
    run(path, tmp_path / "run", "--dataset.limit_dataset_samples", "24")
    whole = curve(tmp_path / "run")
    saved = sorted((tmp_path / "run").glob("epoch_*"), key=lambda p: int(p.name.split("_")[-1]))
    for at, folder in list(enumerate(saved, 1))[:-1]:
        (tmp_path / "run" / "training.jsonl").unlink()
        resumed = folder.name
        run(path, tmp_path / "run", "--dataset.limit_dataset_samples", "24", resume=resumed)
        assert curve(tmp_path / "run") == whole[at:]


def test_the_same_seed_gives_the_same_losses_and_another_gives_others(
    world: Path, tmp_path: Path
) -> None:
    path = config(world, tmp_path, peft=LORA, validation_dataset=None)
    short = ("--step_scheduler.max_steps", "4")
    run(path, tmp_path / "a", *short)
    run(path, tmp_path / "b", *short)
    run(path, tmp_path / "c", *short, "--seed", "8")
    assert curve(tmp_path / "a") == curve(tmp_path / "b")
    assert curve(tmp_path / "a") != curve(tmp_path / "c")


def loss_with_transformers(folder: Path, base: Path, rows_: list[dict[str, str]]) -> float:
    """The held-out loss of a saved model, by transformers and peft alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if (folder / "adapter_config.json").exists():
        from peft import PeftModel

        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder)
    model.eval()
    total, count = 0.0, 0
    for row in rows_:
        prompt = tokenizer(row["question"], add_special_tokens=False).input_ids
        answer = tokenizer(" " + row["answer"], add_special_tokens=False).input_ids
        answer += [tokenizer.eos_token_id]
        ids = torch.tensor([prompt + answer])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        target = torch.tensor(answer)
        total += float(torch.nn.functional.cross_entropy(logits, target, reduction="sum"))
        count += len(answer)
    return total / count


@pytest.mark.parametrize("method", ["full", "lora", "dora"])
def test_what_is_saved_is_what_was_validated(method: str, world: Path, tmp_path: Path) -> None:
    from tests.train.runs.tiny import make_rows

    outcome = run(config(world, tmp_path, **METHODS[method]), tmp_path / "run")
    held_out = make_rows(24, seed=2)
    folder = tmp_path / "run" / "LATEST" / "model"
    found = loss_with_transformers(folder, world / "model", held_out)
    assert found == pytest.approx(outcome.val_loss, rel=FLOAT32)


def test_a_whole_model_goes_to_the_consolidated_folder_where_asked(
    world: Path, tmp_path: Path
) -> None:
    path = config(world, tmp_path)
    words = ("--step_scheduler.max_steps", "2", "--checkpoint.save_consolidated", "true")
    run(path, tmp_path / "run", *words)
    assert (tmp_path / "run/LATEST/model/consolidated/model.safetensors").is_file()
    run(path, tmp_path / "run", *words, "--step_scheduler.max_steps", "3", resume="latest")
    assert max(rows(tmp_path / "run")) == 2


def test_the_config_saved_with_a_checkpoint_holds_the_overrides(
    world: Path, tmp_path: Path
) -> None:
    from train.config.load import load_config

    path = config(world, tmp_path, peft=LORA)
    run(path, tmp_path / "run", "--optimizer.lr", "0.0123", "--step_scheduler.max_steps", "2")
    saved = load_config(tmp_path / "run" / "LATEST" / "config.yaml", (), {})
    assert saved.config.optimizer.lr == 0.0123


def test_a_learning_rate_far_too_high_is_named_by_the_advisor(world: Path, tmp_path: Path) -> None:
    path = config(world, tmp_path, validation_dataset=None)
    steps = ("--step_scheduler.max_steps", "40", "--step_scheduler.num_epochs", "4")
    with contextlib.suppress(StepError):  # ten steps without a finite loss end the run
        run(path, tmp_path / "run", "--optimizer.lr", "100", *steps)
    (checked,) = advise(tmp_path / "run")["runs"]
    found = {f["symptom"] for f in checked["findings"] if f["severity"] != "info"}
    assert checked["status"] in ("failing", "warning")
    assert found & {"divergence", "nonfinite", "spikes", "numerics"}


def test_data_that_cannot_be_what_it_was_is_refused_on_resume(world: Path, tmp_path: Path) -> None:
    path = config(world, tmp_path, peft=LORA)
    run(path, tmp_path / "run", "--step_scheduler.max_steps", "6")
    with pytest.raises(CheckpointError, match="samples was 160, is 100"):
        run(
            path, tmp_path / "run", "--dataset.limit_dataset_samples", "100",
            resume="epoch_0_step_4",
        )  # fmt: skip


def test_an_adapter_of_another_rank_is_refused_on_resume(world: Path, tmp_path: Path) -> None:
    path = config(world, tmp_path, peft=LORA)
    run(path, tmp_path / "run", "--step_scheduler.max_steps", "2")
    with pytest.raises(CheckpointError, match="resume with the config it was saved with"):
        run(path, tmp_path / "run", "--peft.dim", "8", resume="latest")


def test_an_option_that_the_optimiser_lacks_is_one_line(world: Path, tmp_path: Path) -> None:
    path = config(world, tmp_path, optimizer={"_target_": "torch.optim.SGD", "lr": 0.1, "beta": 1})
    with pytest.raises(TrainConfigError, match=r"optimizer\.beta"):
        run(path, tmp_path / "run")


def test_events_say_how_a_run_began_and_ended(world: Path, tmp_path: Path) -> None:
    run(config(world, tmp_path, peft=LORA), tmp_path / "run", "--step_scheduler.max_steps", "3")
    (began,) = events(tmp_path / "run", "start")
    (ended,) = events(tmp_path / "run", "end")
    assert began["details"]["steps_per_epoch"] == 20
    assert "finished after 3 steps" in ended["text"]
    assert math.isfinite(ended["timestamp"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_is_resumed_exactly_over_the_end_of_an_epoch(
    workers: int, world: Path, tmp_path: Path
) -> None:
    from tests.train.runs.tiny import dataset

    stream = dataset(world / "train.jsonl")
    stream["_target_"] = stream["_target_"].replace("_dataset.Col", "_iterable_dataset.Col")
    stream["_target_"] = stream["_target_"].removesuffix("Dataset") + "IterableDataset"
    steps = {"global_batch_size": 16, "local_batch_size": 4, "max_steps": 14, "ckpt_every_steps": 3}
    path = config(
        world, tmp_path, peft=LORA, dataset=stream, step_scheduler=steps, validation_dataset=None,
        dataloader={"num_workers": workers},
    )  # fmt: skip
    run(path, tmp_path / "run")
    whole = curve(tmp_path / "run")
    assert [row["epoch"] for row in rows(tmp_path / "run").values()] == [0] * 10 + [1] * 4
    for folder in (tmp_path / "run").glob("epoch_*"):
        at = int(folder.name.rpartition("_")[2]) + 1
        (tmp_path / "run" / "training.jsonl").unlink(missing_ok=True)
        run(path, tmp_path / "run", resume=folder.name)
        assert curve(tmp_path / "run") == whole[at:]
