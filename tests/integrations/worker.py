"""One of several processes of a training that breaks: `worker.py KIND FOLDER POLICY`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from tests.integrations.tiny import Counting, model

RANK = int(os.environ["RANK"])
BREAKS, STEPS = 20, 60


def say(line: str) -> None:
    print(f"rank {RANK}: {line}", flush=True)


def poison(net: torch.nn.Module, step: int) -> None:
    if step == BREAKS:
        next(iter(net.parameters())).data.fill_(float("nan"))


def with_transformers(place: Path, policy: str) -> int:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from advisor.integrations.transformers import AdvisorCallback

    class Poison(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            poison(more["model"], state.global_step)

    args = TrainingArguments(
        output_dir=str(place), max_steps=STEPS, per_device_train_batch_size=8, logging_steps=1,
        report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no", seed=1,
        logging_nan_inf_filter=False, ddp_backend="gloo", ddp_find_unused_parameters=False,
    )  # fmt: skip
    trainer = Trainer(
        model=model(), args=args, train_dataset=Counting(512),
        callbacks=[AdvisorCallback(policy, say=say), Poison()],
    )  # fmt: skip
    trainer.train()
    return int(trainer.state.global_step)


def with_lightning(place: Path, policy: str) -> int:
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.loggers import CSVLogger
    from torch.utils.data import DataLoader

    from advisor.integrations.lightning import AdvisorCallback

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = model()

        def training_step(self, batch: Any, at: int) -> torch.Tensor:
            poison(self.net, self.global_step)
            loss = self.net(**batch).loss
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    trainer = Trainer(
        max_steps=STEPS, accelerator="cpu", devices=2, strategy="ddp", log_every_n_steps=1,
        logger=CSVLogger(place), enable_progress_bar=False, enable_checkpointing=False,
        callbacks=[AdvisorCallback(policy, say=say)],
    )  # fmt: skip
    trainer.fit(Module(), DataLoader(Counting(1024), batch_size=8))
    return int(trainer.global_step)


if __name__ == "__main__":
    train = {"transformers": with_transformers, "lightning": with_lightning}[sys.argv[1]]
    say(f"ended at {train(Path(sys.argv[2]), sys.argv[3])}")
