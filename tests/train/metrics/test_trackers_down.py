"""A tracker that cannot be started: the run goes on without it, or ends by its config."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from train.config.types import TrackingConfig
from train.errors import TrainError
from train.metrics.trackers import About, open_trackers

KEY = "hf_Zq7xVm4NwK2tR9bL0pY3sD8h"


def standin(monkeypatch: pytest.MonkeyPatch, name: str, **parts: object) -> None:
    module = types.ModuleType(name)
    module.__dict__.update(parts)
    monkeypatch.setitem(sys.modules, name, module)


def down(**options: object) -> None:
    raise ConnectionError(f"no route to https://me:{KEY}@host\nand more lines")


def opened(tmp_path: Path, **sections: object) -> list[object]:
    return list(open_trackers(TrackingConfig(**sections), About(tmp_path, {})))  # type: ignore[arg-type]


def test_a_server_that_is_down_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    standin(monkeypatch, "wandb", init=down)
    assert opened(tmp_path, wandb={"project": "p"}) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: wandb: cannot be started (ConnectionError: no route to")
    assert "goes on without it" in line and KEY not in line


def test_mlflow_gives_up_soon_and_leaves_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import os

    seen: dict[str, str] = {}

    def experiment(name: str) -> None:
        seen.update(os.environ)
        down()

    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    standin(monkeypatch, "mlflow", set_experiment=experiment)
    assert opened(tmp_path, mlflow={"experiment_name": "e"}) == []
    assert int(seen["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) <= 2
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
    assert "mlflow: cannot be started" in capsys.readouterr().err


def test_no_key_is_told_before_a_terminal_is_asked_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    asked: list[object] = []
    standin(
        monkeypatch,
        "wandb",
        init=lambda **o: asked.append(o),
        api=types.SimpleNamespace(api_key=None),
    )
    assert opened(tmp_path, wandb={}) == []
    assert asked == []
    assert "no API key" in capsys.readouterr().err


def test_a_required_tracker_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    standin(monkeypatch, "wandb", init=down)
    with pytest.raises(TrainError, match="wandb: cannot be started") as caught:
        opened(tmp_path, wandb={"required": True})
    assert KEY not in str(caught.value)


def test_the_key_required_stands_in_the_config_and_does_not_reach_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from train.config.fields import Context
    from train.config.reading import read_text
    from train.config.tracking import tracking

    root = read_text("wandb:\n  project: p\n  required: true\n", "c.yaml")
    found = tracking(root, Context(env={}, notices=[]))
    assert found.wandb == {"project": "p", "required": True}
    given: dict[str, object] = {}

    def init(**options: object) -> object:
        given.update(options)
        return types.SimpleNamespace(define_metric=lambda *a, **k: None)

    standin(monkeypatch, "wandb", init=init)
    assert len(opened(tmp_path, wandb=found.wandb)) == 1
    assert "required" not in given


def test_a_folder_of_tensorboard_that_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    (tmp_path / "file").write_text("")
    assert opened(tmp_path, tensorboard={"log_dir": str(tmp_path / "file" / "below")}) == []
    assert "tensorboard: cannot be started" in capsys.readouterr().err
