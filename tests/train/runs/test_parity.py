"""Our losses against those of transformers' own Trainer, on the same samples in the same order."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from tests.precision import TRAINED32  # noqa: E402
from tests.train.runs.launch import rows, run  # noqa: E402
from tests.train.runs.tiny import config_text  # noqa: E402

# no weight decay: theirs leaves norms out of it, torch.optim.AdamW as the guide names it does not
STEPS, MICRO, ACCUMULATE, RATE = 20, 4, 2, 3e-3


def _samples(config: Path) -> list[dict[str, list[int]]]:
    """What our reader makes of the data, in the order of the file."""
    from train.config.load import load_config
    from train.data.reading import open_reader
    from train.model.load import load_tokenizer

    loaded = load_config(config, [], {}).config
    reader, first = open_reader(loaded.dataset, load_tokenizer(loaded.model), False)
    found = reader.chunk(first, 0).samples
    return [{"input_ids": s.input_ids, "labels": s.labels} for s in found if s is not None]


def _losses_of_their_trainer(world: Path, config: Path, place: Path) -> list[float]:
    class InOrder(transformers.Trainer):  # type: ignore[name-defined, misc]
        def _get_train_sampler(self, *_: object) -> object:
            return torch.utils.data.SequentialSampler(self.train_dataset)

    tokenizer = transformers.AutoTokenizer.from_pretrained(world / "model")
    trainer = InOrder(
        model=transformers.AutoModelForCausalLM.from_pretrained(world / "model"),
        args=transformers.TrainingArguments(
            output_dir=str(place), max_steps=STEPS, per_device_train_batch_size=MICRO,
            gradient_accumulation_steps=ACCUMULATE, learning_rate=RATE, weight_decay=0.0,
            lr_scheduler_type="constant", max_grad_norm=1.0, logging_steps=1, report_to=[],
            save_strategy="no", use_cpu=True, disable_tqdm=True, remove_unused_columns=False,
        ),
        train_dataset=_samples(config),
        data_collator=transformers.DataCollatorForSeq2Seq(tokenizer),
    )  # fmt: skip
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


@pytest.mark.slow
def test_the_losses_of_full_fine_tuning_are_those_of_transformers_trainer(
    world: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config.yaml"
    steps = {"global_batch_size": MICRO * ACCUMULATE, "local_batch_size": MICRO, "max_steps": STEPS}
    path.write_text(
        config_text(
            world, validation_dataset=None, lr_scheduler=None, step_scheduler=steps,
            dataloader={"shuffle": False},
        )
    )  # fmt: skip
    run(path, tmp_path / "run", "--checkpoint.enabled=false", "--optimizer.weight_decay=0")
    ours = [row["loss"] for _, row in sorted(rows(tmp_path / "run").items())]
    theirs = _losses_of_their_trainer(world, path, tmp_path / "theirs")
    assert len(ours) == STEPS and ours[-1] < ours[0]
    assert theirs == pytest.approx(ours, rel=TRAINED32)
