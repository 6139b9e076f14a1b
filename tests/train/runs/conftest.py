"""One small world of model and data for all runs of a session."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, training and validation data, and a config for LoRA."""
    pytest.importorskip("transformers")
    from tests.train.runs.tiny import LORA, make_world

    folder = tmp_path_factory.mktemp("world")
    make_world(folder, peft=LORA)
    return folder
