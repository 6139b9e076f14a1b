"""TensorBoard, W&B and MLflow: each library is imported only where its section is in the config."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advisor.base.redact import redact_text, redact_value
from train.config.tracking import REQUIRED
from train.config.types import TrackingConfig
from train.errors import MissingExtra, TrainConfigError, TrainError
from train.metrics.records import EventRecord, Record, as_scalars
from train.metrics.sinks import Guarded, Sink

_SAVED_AS = {"save_dir": "dir"}  # the guide's name for what wandb calls dir
_WAIT = 30  # seconds for a server at the start
_MLFLOW_WORDS = 500  # MLflow refuses longer values of a parameter


@dataclass(frozen=True, slots=True)
class About:
    """What a tracker gets of the run: its folder and its config."""

    run_dir: Path
    config: Mapping[str, object]

    def shown(self) -> dict[str, object]:
        """Return the config without secrets."""
        return {key: redact_value(key, value) for key, value in self.config.items()}


def open_trackers(tracking: TrackingConfig, about: About) -> list[Sink]:
    """Start the trackers that the config asks for."""
    makers: dict[str, Callable[[Mapping[str, object], About], Sink]] = {
        "tensorboard": TensorBoard,
        "wandb": WandB,
        "mlflow": MLflow,
    }
    sinks: list[Sink] = []
    for name, make in makers.items():
        if getattr(tracking, name) is None:
            continue
        options = dict(getattr(tracking, name))
        required = options.pop(REQUIRED, False)
        try:
            sinks.append(Guarded(name, make(options, about)))
        except ImportError as error:
            extra = "train" if name == "tensorboard" else "track"
            raise MissingExtra(
                f"{name}: {error}; install it with: pip install 'finetune-advisor[{extra}]', "
                f"or take the section {name} out of the config"
            ) from None
        except TypeError as error:  # an option that the library does not know
            raise TrainConfigError(f"{name}: {error}; look at the section's options") from None
        except Exception as error:  # its server is down, it has no key: the library's own errors
            _go_without(name, error, bool(required))
    return sinks


def _go_without(name: str, error: Exception, required: bool) -> None:
    """Say in one line that a tracker is off; end the run where the config asks for that."""
    said = redact_text(str(error).strip()).split("\n")[0][:200]
    why = f"{name}: cannot be started ({type(error).__name__}: {said})"
    if required:
        raise TrainError(f"{why}; mend that, or leave out {name}.{REQUIRED}")
    line = f"{why}; the run goes on without it ({name}.{REQUIRED}: true ends it)"
    print(f"train: {line}", file=sys.stderr, flush=True)


class TensorBoard:
    """Event files below ``log_dir``, by default the run's folder ``tensorboard``."""

    def __init__(self, options: Mapping[str, object], about: About) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
        from torch.utils.tensorboard import SummaryWriter

        rest: dict[str, Any] = {"flush_secs": 10, **options}
        log_dir = rest.pop("log_dir", None) or about.run_dir / "tensorboard"
        self._summary = Summary
        self._writer: Any = SummaryWriter(str(log_dir), **rest)

    def write(self, record: Record) -> None:
        if isinstance(record, EventRecord):
            self._writer.add_text(record.kind, record.text, record.step, record.timestamp)
            return
        # one event for all numbers of the step: an add_scalar each takes five times as long
        values = [
            self._summary.Value(tag=name, simple_value=value)
            for name, value in as_scalars(record).items()
        ]
        summary = self._summary(value=values)
        self._writer.file_writer.add_summary(summary, record.step, record.timestamp)

    def close(self, status: str) -> None:
        self._writer.close()


class WandB:
    """Weights & Biases. A resumed run keeps its id; ``mode: offline`` needs no network."""

    def __init__(self, options: Mapping[str, object], about: About) -> None:
        import wandb  # type: ignore[import-not-found,unused-ignore]

        _refuse_without_key(wandb, options)
        rest: dict[str, Any] = {_SAVED_AS.get(k, k): v for k, v in options.items()}
        rest.setdefault("dir", str(about.run_dir))
        rest.setdefault("name", about.run_dir.resolve().name)
        rest.setdefault("id", _stable_id(about.run_dir))
        rest.setdefault("resume", "allow")
        Path(rest["dir"]).mkdir(parents=True, exist_ok=True)
        rest.setdefault("settings", {"init_timeout": _WAIT})
        self._run = wandb.init(config=about.shown(), **rest)
        # our own step is the axis: wandb's must rise, and a resumed run repeats steps
        self._run.define_metric("*", step_metric="step")

    def write(self, record: Record) -> None:
        if not isinstance(record, EventRecord):
            self._run.log({**as_scalars(record), "step": record.step})

    def close(self, status: str) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)


def _refuse_without_key(wandb: Any, options: Mapping[str, object]) -> None:
    """Raise TrainConfigError if wandb would ask the terminal for a key, and so block the
    training."""
    mode = options.get("mode") or os.environ.get("WANDB_MODE") or "online"
    if mode == "online" and getattr(getattr(wandb, "api", None), "api_key", "unknown") is None:
        raise RuntimeError("no API key: `wandb login`, WANDB_API_KEY, or mode: offline")


@contextmanager
def _impatient() -> Iterator[None]:
    """Limit MLflow's retries at the start to seconds: by default it tries a dead server for
    minutes."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_WAIT)}
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


class MLflow:
    """MLflow, written in the background so that a slow server does not slow the step."""

    def __init__(self, options: Mapping[str, object], about: About) -> None:
        import mlflow  # type: ignore[import-not-found,unused-ignore]

        rest: dict[str, Any] = dict(options)
        self._mlflow = mlflow
        with _impatient():
            self._start(rest, about)

    def _start(self, rest: dict[str, Any], about: About) -> None:
        mlflow = self._mlflow
        if uri := rest.pop("tracking_uri", None):
            mlflow.set_tracking_uri(str(uri))
        if experiment := rest.pop("experiment_name", None):
            mlflow.set_experiment(str(experiment))
        rest.setdefault("run_name", about.run_dir.resolve().name)
        mlflow.start_run(**rest)
        said = {k: str(v)[:_MLFLOW_WORDS] for k, v in _flat(about.shown())}
        mlflow.log_params(said)

    def write(self, record: Record) -> None:
        if not isinstance(record, EventRecord):
            self._mlflow.log_metrics(
                as_scalars(record), step=max(record.step, 0), synchronous=False
            )

    def close(self, status: str) -> None:
        self._mlflow.flush_async_logging()
        self._mlflow.end_run("FINISHED" if status == "finished" else "KILLED")


def _stable_id(run_dir: Path) -> str:
    return hashlib.sha256(str(run_dir.resolve()).encode()).hexdigest()[:12]


def _flat(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
