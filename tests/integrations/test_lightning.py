"""The callback in real trainings with Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning")  # `make test-integrations` installs it

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from advisor.integrations.lightning import AdvisorCallback
from tests.integrations.tiny import Counting, Heard, model

pytestmark = pytest.mark.integration


class Counter(LightningModule):
    """Learns to count, and logs what a tutorial's module logs."""

    def __init__(self, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = model()

    def training_step(self, batch: Any, index: int) -> Any:
        loss = self.model(**batch).loss
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_loss", self.model(**batch).loss)

    def configure_optimizers(self) -> Any:
        steps = int(self.trainer.estimated_stepping_batches)
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams["lr"])
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}


def trained(
    place: Path, callback: AdvisorCallback, lr: float = 5e-3, logger: Any = True, **more: Any
) -> Trainer:
    """Train for real, and return the Trainer."""
    trainer = Trainer(
        default_root_dir=place, accelerator="cpu", max_epochs=2, log_every_n_steps=1,
        logger=CSVLogger(place) if logger else False, callbacks=[callback],
        gradient_clip_val=1.0, val_check_interval=16, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=1, **more,
    )  # fmt: skip
    train = DataLoader(Counting(384), batch_size=8, shuffle=True)
    trainer.fit(Counter(lr), train, DataLoader(Counting(64, seed=9), batch_size=32))
    return trainer


@pytest.mark.parametrize("logger", [True, False], ids=["with a logger", "without one"])
def test_a_healthy_training_hears_no_warning(tmp_path: Path, logger: bool) -> None:
    heard = Heard()
    callback = AdvisorCallback(say=heard)
    trainer = trained(tmp_path, callback, logger=logger)
    assert trainer.global_step == 96
    assert not heard.loud()
    report = callback.advice.report()
    assert report is not None
    assert len(report.run.series["train/loss"]) >= 95
    assert len(report.run.series["eval/loss"]) >= 5


@pytest.mark.parametrize("logger", [True, False], ids=["with a logger", "without one"])
def test_a_rate_that_is_far_too_high_is_told_while_it_trains(tmp_path: Path, logger: bool) -> None:
    heard = Heard()
    trained(tmp_path, AdvisorCallback(say=heard), lr=3.0, logger=logger)
    assert heard.loud()
    assert int(heard.loud()[0].split("step ")[1].split()[0]) < 90


def test_a_stop_ends_the_training(tmp_path: Path) -> None:
    heard = Heard()
    policy = {"mode": "stop", "stop_on": ["divergence", "nonfinite"]}
    trainer = trained(tmp_path, AdvisorCallback(policy, say=heard), lr=3.0)
    assert trainer.global_step < 96
    assert any("stops the training" in line for line in heard)


def test_the_config_is_that_of_trainer_and_module(tmp_path: Path) -> None:
    callback = AdvisorCallback(say=Heard(), config={"method": "full"})
    trained(tmp_path, callback, lr=1e-3, accumulate_grad_batches=2)
    report = callback.advice.report()
    assert report is not None
    values = report.run.config.values
    assert values["optimizer.lr"] == 1e-3
    assert values["clip_grad_norm.max_norm"] == 1.0
    assert values["step_scheduler.global_batch_size"] == 16
    assert values["method"] == "full"
    assert report.run.facts["max_steps"] == 48


def test_the_users_own_logger_stays_the_only_one(tmp_path: Path) -> None:
    trainer = trained(tmp_path, AdvisorCallback(say=Heard()))
    assert [type(logger) for logger in trainer.loggers] == [CSVLogger]
    logged = (Path(trainer.loggers[0].log_dir) / "metrics.csv").read_text()
    assert "train_loss" in logged.splitlines()[0]


def test_an_exception_of_the_training_is_an_event(tmp_path: Path) -> None:
    class Broken(Counter):
        def training_step(self, batch: Any, index: int) -> Any:
            if self.global_step == 30:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().training_step(batch, index)

    heard = Heard()
    trainer = Trainer(
        default_root_dir=tmp_path, accelerator="cpu", max_epochs=1, log_every_n_steps=1,
        logger=CSVLogger(tmp_path), callbacks=[AdvisorCallback(say=heard)],
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.fit(Broken(5e-3), DataLoader(Counting(384), batch_size=8))
    assert any("MEM001" in line for line in heard.loud())
