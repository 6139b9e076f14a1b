"""``--evaluate CHECKPOINT``: the loss of a checkpoint on its run's held-out rows, sample by sample.

Each sample is a batch of its own, so that the differences of two checkpoints can be paired and
the uncertainty of a mean be told.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from train.checkpoint_files import target_of
from train.config.load import Loaded, load_config
from train.config.rundir import CONFIG
from train.config.types import LoaderConfig, PackingConfig, TrainConfig
from train.data.batches import build_data
from train.data.loader import Loader, RowLoader
from train.data.split import is_test
from train.errors import DataError, TrainConfigError
from train.model.forward import loss_sum
from train.model.load import LoadedModel, load_model, load_tokenizer
from train.model.outline import draw_outline, limits_of
from train.weights import ModelWeights


@dataclass(frozen=True, slots=True)
class Measured:
    """The summed loss and the supervised tokens of each sample, in the order of the data."""

    checkpoint: str
    losses: tuple[float, ...]
    tokens: tuple[int, ...]
    test: tuple[bool, ...]  # which are of the half that tuning never looks at

    @property
    def loss(self) -> float:
        """The mean over supervised tokens, as the trainer's own validation has it."""
        return math.fsum(self.losses) / max(1, sum(self.tokens))

    def as_json(self) -> str:
        said = {
            "checkpoint": self.checkpoint,
            "loss": self.loss,
            "samples": len(self.losses),
            "tokens": sum(self.tokens),
            "losses": self.losses,
            "tokens_of": self.tokens,
            "test": self.test,
        }
        return json.dumps(said) + "\n"


def find_checkpoint(path: Path) -> tuple[Path, Path]:
    """Return the folder of a checkpoint and the config it was saved with.

    A run's folder means the checkpoint of its lowest validation loss, else its latest.
    """
    for place in (path, path / "LOWEST_VAL", path / "LATEST"):
        folder = target_of(place) or place
        if (folder / "progress.json").is_file():
            return folder, folder / CONFIG
    raise TrainConfigError(f"--evaluate {path}: no checkpoint of ours there; give its folder")


def load(path: Path, overrides: Sequence[str], env: Mapping[str, str]) -> tuple[Loaded, Path]:
    """Return the config of a checkpoint with the overrides made, and its folder."""
    folder, config = find_checkpoint(path)
    return load_config(config, overrides, env), folder


def evaluate(config: TrainConfig, folder: Path) -> Measured:
    """Load the model as it was trained and measure the loss of every held-out sample."""
    config = _one_by_one(config)
    tokenizer = load_tokenizer(config.model)
    data = build_data(config, tokenizer, limits=limits_of(draw_outline(config.model)))
    if data.validation is None:
        raise DataError("--evaluate: the config has no validation_dataset and no validation_split")
    model = load_model(config, tokenizer)
    _set_weights(model, folder)
    model.model.eval()
    losses: list[float] = []
    tokens: list[int] = []
    with torch.no_grad():
        for batch in data.validation:
            losses.append(float(loss_sum(model.model, batch)[0]))
            tokens.append(batch.supervised)
    return Measured(str(folder), tuple(losses), tuple(tokens), _mark_test_rows(data.validation))


def _mark_test_rows(loader: Loader) -> tuple[bool, ...]:
    assert isinstance(loader, RowLoader)  # a validation set is read whole
    keys = loader.rows.store.keys[loader.rows.members]
    return tuple(is_test(keys).tolist())


def _one_by_one(config: TrainConfig) -> TrainConfig:
    loader = LoaderConfig(batch_size=1, shuffle=False)
    return dataclasses.replace(
        config, validation_dataloader=loader, packed_sequence=PackingConfig(packed_sequence_size=0)
    )


def _set_weights(model: LoadedModel, folder: Path) -> None:
    ModelWeights(model.model, model.tokenizer, model.trainable).load(folder / "model")
