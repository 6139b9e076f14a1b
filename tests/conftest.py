"""One machine for all tests: float32 as it is written, no GPU, Ctrl-C as a terminal sends it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# In CI the same examples each time: what fails there must be the change, not the draw.
settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")

BASE = Path(__file__).resolve().parents[1] / "presets" / "base"

# before torch is loaded: oneDNN may round float32 to bf16 where the machine's owner lets it
os.environ |= {"ONEDNN_DEFAULT_FPMATH_MODE": "STRICT", "CUDA_VISIBLE_DEVICES": ""}
# a process buffers what it says, as for most users: what is left at its end has to be let go, too
os.environ.pop("PYTHONUNBUFFERED", None)
# what runs in the background is deaf to Ctrl-C, and so would be every process that a test starts
signal.signal(signal.SIGINT, signal.default_int_handler)
# where real arithmetic is done: run on the arithmetic of other processors too
TRAINS = ("advice", "checkpoint", "loop", "model", "ranks", "runs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        of_trainer = item.path.parent.parent.name == "train" and item.path.parent.name in TRAINS
        if of_trainer or "base" in getattr(item, "fixturenames", ()):
            item.add_marker("trains")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model in float32, for real trainings.

    It is stored in bf16, and a product in bf16 is rounded by its shape and by the processor.
    """
    pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("base") / "model"
    shutil.copytree(BASE, folder)
    weights = load_file(folder / "model.safetensors")
    exact = {name: weight.float() for name, weight in weights.items()}
    save_file(exact, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    return folder
