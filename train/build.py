"""Build the components of the loop from model and data."""

from __future__ import annotations

from pathlib import Path

from train.advice.build import make_recovery
from train.advice.messages import rollback_line
from train.advice.saved_states import FOLDER, SavedStates
from train.advice.sink import AdvisorSink
from train.checkpoint import Checkpoints, Snapshot
from train.checkpoint_files import recover
from train.components import Parts
from train.config.checks import warmup_notice
from train.config.load import Loaded, save_config
from train.config.types import TrainConfig
from train.data.batches import Data
from train.device import flops_per_token, new_clock, peak_flops, pick_device
from train.errors import CheckpointError, TrainConfigError
from train.evaluate import Evaluator
from train.metrics.sinks import Sink
from train.model.forward import loss_sum
from train.model.load import LoadedModel
from train.optim import build_optimizer
from train.plan import plan_steps
from train.ranks.agreement import Ranks
from train.ranks.world import World
from train.reporting import Reporter
from train.schedule import plan_schedule
from train.step import Stepper
from train.weights import ModelWeights

_MANY = 0.05  # this share of samples that teach nothing is worth a warning


def build_parts(
    loaded: Loaded,
    model: LoadedModel,
    data: Data,
    sink: Sink | AdvisorSink,
    run_dir: Path,
    world: World,
) -> Parts:
    """Put the loop's parts together; ``data`` is this rank's share."""
    config = loaded.config
    device = pick_device()
    plan = plan_steps(config.step_scheduler, data.train.batches_per_epoch, world.size)
    schedule = plan_schedule(config.lr_scheduler, config.optimizer.lr, plan.total)
    parameters = [parameter for _, parameter in model.trainable]
    if not parameters:
        raise TrainConfigError("no weight is trainable; look at peft.target_modules")
    optimizer = build_optimizer(config.optimizer, parameters)
    weights = ModelWeights(
        model.model, model.tokenizer, model.trainable, config.checkpoint.save_consolidated
    )
    checkpoints = Checkpoints(
        directory=run_dir,
        weights=weights,
        optimizer=optimizer,
        save_config=lambda path: save_config(loaded, path),
        keep_last=config.checkpoint.keep_last,
        writes=world.first,
    )
    stepper = Stepper(
        model=model.model,
        parameters=parameters,
        optimizer=optimizer,
        loss_sum=loss_sum,
        max_norm=config.max_norm,
        device=device,
        clock=new_clock(device),
        reduce=world.reduce,
    )
    report = Reporter(
        sink=sink,
        schedule=schedule,
        device=device,
        ranks=world.size,
        timings=world.timings,
        flops_per_token=flops_per_token(model.model, whole=config.peft is None),
        peak=peak_flops(device),
    )
    return Parts(
        plan=plan,
        schedule=schedule,
        safety=config.safety,
        train=data.train,
        stepper=stepper,
        evaluator=Evaluator(model.model, loss_sum, device, reduce=world.reduce),
        report=report,
        validation=data.validation,
        checkpoints=checkpoints if config.checkpoint.enabled else None,
        recovery=make_recovery(
            config.advisor,
            sink if isinstance(sink, AdvisorSink) else None,
            SavedStates(run_dir / FOLDER, model.trainable, optimizer),
            plan,
            world.ranks,
        ),
        seed=config.seed,
        rank=world.rank,
        most=world.ranks.most if world.size > 1 else None,
        data=_order_depends_on(config, data),
    )


def _order_depends_on(config: TrainConfig, data: Data) -> dict[str, object]:
    return {
        "samples": data.facts.samples,
        "tokens": data.facts.tokens,
        "local_batch_size": config.step_scheduler.local_batch_size,
        "seed": config.seed,
    }


def resume_from(parts: Parts, wanted: str, ranks: Ranks) -> Snapshot | None:
    """Load a checkpoint into all components; refuse one whose place in the data means something
    else.

    A run that was killed before its first checkpoint goes on from its beginning.
    """
    if parts.checkpoints is None:
        raise CheckpointError("checkpoint.enabled: false leaves nothing to resume from")
    name = ranks.share(_found(parts.checkpoints, wanted) if parts.checkpoints.writes else None)
    if name is None:
        parts.report.event("resume", 0, "no checkpoint was saved yet: started from the beginning")
        return None
    folder = Path(name)
    start = parts.checkpoints.load(folder)
    for key, now in parts.data.items():
        before = start.progress.data.get(key, now)
        if before != now and start.loader is not None:
            raise CheckpointError(
                f"{folder}: was saved within an epoch of other batches ({key} was {before}, is "
                f"{now}); resume with the data and batch sizes of then, or start a new run"
            )
    if start.progress.actions and start.progress.step == start.progress.back_to:
        # a kill may have come between the rollback and its line in the log
        parts.report.event("rollback", start.progress.step, *rollback_line(start.progress, "again"))
    text = f"resumed from {folder} at step {start.progress.step}"
    parts.report.event("resume", start.progress.step, text, {"checkpoint": folder.name})
    return start


def _found(checkpoints: Checkpoints, wanted: str) -> str | None:
    """Return the folder of the checkpoint to resume from; None if none was saved yet."""
    recover(checkpoints.directory)
    if wanted == "latest" and not checkpoints.all():
        return None
    return str(checkpoints.find(wanted))


def introduce(config: TrainConfig, model: LoadedModel, data: Data, parts: Parts) -> None:
    """Report what is about to run, with the numbers that follow from config and data."""
    plan, facts, report = parts.plan, data.facts, parts.report
    trained = sum(parameter.numel() for _, parameter in model.trainable)
    details = {
        "method": config.method,
        "max_steps": plan.total,
        "steps_per_epoch": plan.per_epoch,
        "num_train_epochs": plan.epochs,
        "global_batch_size": config.step_scheduler.global_batch_size,
        "samples": facts.samples,
        "tokens": facts.tokens,
        "supervised": facts.supervised,
        "trainable": trained,
        "vocab_size": len(model.tokenizer),
        "processes": report.ranks,
    }
    an_epoch = f"{plan.per_epoch} an epoch" if plan.per_epoch is not None else "of a stream"
    several = f" of each of {report.ranks} processes" if report.ranks > 1 else ""
    text = (
        f"{config.method}: {plan.total} steps, {an_epoch}; each of "
        f"{config.step_scheduler.global_batch_size} rows in {plan.accumulate} micro-batches"
        f"{several}; {trained:,} trained weights"
    )
    report.event("start", 0, text, details)
    for notice in (*model.notices, *data.notices, warmup_notice(config, plan.total)):
        if notice:
            report.event("notice", None, notice)
    for warning in data.warnings:
        report.event("warning", 0, warning)
    total = facts.samples + facts.all_masked
    if facts.all_masked > _MANY * total:
        # 'masked' is the word that the advisor's rule on labels looks for
        text = f"labels all masked in {facts.all_masked} of {total} samples; they were dropped"
        report.event("warning", 0, text)
