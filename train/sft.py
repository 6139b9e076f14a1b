"""Supervised fine-tuning, top to bottom: config, model, data, the loop and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from train.advice.build import make_sink
from train.build import build_parts, introduce, resume_from
from train.components import RunOutcome
from train.config.load import Loaded
from train.data.batches import build_data
from train.device import is_out_of_memory
from train.errors import StepError, TrainError
from train.loop import TrainingLoop
from train.metrics.files import JsonLines
from train.metrics.records import EventRecord
from train.metrics.sinks import Console, Fan, Locked, Sink
from train.metrics.trackers import About, open_trackers
from train.model.load import load_model, load_tokenizer
from train.model.outline import check_method, draw_outline, limits_of
from train.plan import plan_steps
from train.ranks.sharded import shard
from train.ranks.world import World
from train.seeds import SETUP_STEP, seed_step


def run(
    loaded: Loaded,
    run_dir: Path,
    resume: str | None = None,
    notify: Callable[[str], None] = lambda line: None,
    world: World | None = None,
) -> RunOutcome:
    """Fine-tune as the config says, in the run's own folder.

    ``resume`` names a checkpoint of that folder, or 'latest'; ``notify`` is told of long work.
    What can be wrong with config and data is found before the weights are loaded.
    """
    config = loaded.config
    world = world or World()
    sink = _sink(loaded, run_dir, world)
    with _closing(sink) as ending:
        tokenizer = load_tokenizer(config.model)
        outline = draw_outline(config.model)
        check_method(outline, config)
        data = build_data(config, tokenizer, notify, limits_of(outline))
        data = shard(data, world.rank, world.size)
        plan_steps(config.step_scheduler, data.train.batches_per_epoch, world.size)
        seed_step(config.seed, SETUP_STEP)
        model = load_model(config, tokenizer)
        parts = build_parts(loaded, model, data, sink, run_dir, world)
        start = resume_from(parts, resume, world.ranks) if resume else None
        if parts.checkpoints is not None and world.first:
            parts.checkpoints.check_space()
        introduce(config, model, data, parts)
        ending.began = True
        outcome = TrainingLoop(parts, start).run()
        ending.status = outcome.status
        parts.report.event("end", outcome.steps, _summary(outcome))
    return outcome


def _sink(loaded: Loaded, run_dir: Path, world: World) -> Sink:
    """Return the sink of this process: of several, only the first writes."""
    if not world.first:
        return Fan([])
    trackers = open_trackers(loaded.config.tracking, About(run_dir, loaded.tree))
    fan: Sink = Fan([JsonLines(run_dir), Console(), *trackers])
    if world.heartbeat is not None:
        fan = Locked(fan)
        world.heartbeat.lost = lambda rank, seconds: fan.write(_silent(rank, seconds))
    return make_sink(loaded, fan, run_dir) or fan


def _silent(rank: int, seconds: float) -> EventRecord:
    text = f"rank {rank} gives no sign of life since {seconds:.0f} s; all wait for it"
    return EventRecord(kind="rank_silent", text=text, timestamp=time.time(), details={"rank": rank})


@dataclass(slots=True)
class _Ending:
    began: bool = False
    status: str = "failed"


@contextmanager
def _closing(sink: Sink) -> Iterator[_Ending]:
    """Close the sinks however the run ends, and log the error of a run that had begun."""
    ending = _Ending()
    try:
        yield ending
    except Exception as error:
        shown = error
        if is_out_of_memory(error) and not isinstance(error, TrainError):
            first = str(error).split("\n")[0]
            shown = StepError(
                f"out of memory before the first step: {first}; take a smaller model, quantise it "
                "(quantization.load_in_4bit: true), or free memory"
            )
        if ending.began:
            text = f"{type(shown).__name__}: {shown}"
            sink.write(EventRecord(kind="exception", text=text, timestamp=time.time()))
        if shown is error:
            raise
        raise shown from None
    finally:
        sink.close(ending.status)


def _summary(outcome: RunOutcome) -> str:
    words = [f"{outcome.status} after {outcome.steps} steps"]
    if outcome.advice:
        words[0] = f"stopped by the advisor ({outcome.advice.code}) after {outcome.steps} steps"
    if outcome.actions:
        words[0] += f", back {outcome.actions} times" if outcome.actions > 1 else ", back once"
    if outcome.signal:
        words[0] = f"stopped by {outcome.signal} after {outcome.steps} steps"
    if outcome.train_loss is not None:
        words.append(f"loss {outcome.train_loss:.4f}")
    if outcome.lowest_val_loss is not None:
        before = f" (before {outcome.baseline_loss:.4f})" if outcome.baseline_loss else ""
        words.append(f"lowest held-out loss {outcome.lowest_val_loss:.4f}{before}")
    if outcome.skipped:
        words.append(f"{outcome.skipped} steps not applied")
    if outcome.checkpoint:
        words.append(f"saved in {outcome.checkpoint}")
    return "; ".join(words)
