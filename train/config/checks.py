"""What a config must satisfy before anything is loaded: ranges, arithmetic, what excludes what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NoReturn

from train.config.dataset import OPT_IN
from train.config.fields import Context
from train.config.nodes import Node, Section
from train.config.types import DatasetConfig, TrainConfig
from train.errors import TrainConfigError

# path: the test, and what to say instead
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "step_scheduler.global_batch_size": (lambda v: v >= 1, "1 or more"),
    "step_scheduler.local_batch_size": (lambda v: v >= 1, "1 or more"),
    "step_scheduler.num_epochs": (lambda v: v >= 1, "1 or more"),
    "step_scheduler.max_steps": (lambda v: v >= 1, "1 or more, or null"),
    "step_scheduler.ckpt_every_steps": (lambda v: v >= 1, "1 or more, or null for once an epoch"),
    "step_scheduler.val_every_steps": (lambda v: v >= 1, "1 or more, or null"),
    "optimizer.lr": (lambda v: v > 0, "above 0"),
    "lr_scheduler.lr_warmup_steps": (lambda v: v >= 0, "0 or more"),
    "lr_scheduler.lr_decay_steps": (lambda v: v >= 1, "1 or more"),
    "lr_scheduler.wsd_decay_steps": (lambda v: v >= 1, "1 or more"),
    "lr_scheduler.init_lr": (lambda v: v >= 0, "0 or more"),
    "lr_scheduler.min_lr": (lambda v: v >= 0, "0 or more"),
    "lr_scheduler.max_lr": (lambda v: v > 0, "above 0"),
    "clip_grad_norm.max_norm": (lambda v: v > 0, "above 0, or null for no clipping"),
    "peft.dim": (lambda v: v >= 1, "1 or more"),
    "peft.alpha": (lambda v: v >= 1, "1 or more"),
    "peft.dropout": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "dataset.seq_length": (lambda v: v >= 2, "2 or more"),
    "dataset.limit_dataset_samples": (lambda v: v >= 1, "1 or more, or null for all"),
    "validation_dataset.seq_length": (lambda v: v >= 2, "2 or more"),
    "validation_dataset.limit_dataset_samples": (lambda v: v >= 1, "1 or more, or null for all"),
    "validation_split": (lambda v: 0 <= v <= 0.5, "between 0 and 0.5"),
    "dataloader.num_workers": (lambda v: v >= 0, "0 or more"),
    "validation_dataloader.num_workers": (lambda v: v >= 0, "0 or more"),
    "validation_dataloader.batch_size": (lambda v: v >= 1, "1 or more"),
    "checkpoint.keep_last": (lambda v: v >= 1, "1 or more, or null for all"),
    "dist_env.timeout_minutes": (lambda v: v > 0, "above 0"),
    "safety.max_nonfinite_steps": (lambda v: v >= 1, "1 or more"),
    "advisor.max_actions": (lambda v: v >= 0, "0 or more"),
    "advisor.good_every_steps": (lambda v: v >= 1, "1 or more, or null"),
    "seed": (lambda v: 0 <= v < 2**63, "0 or more"),
}
_ELSEWHERE = {
    "clip_grad_norm.max_norm": "max_norm",
    "dist_env.timeout_minutes": "distributed.timeout_minutes",
}
_WSD_STYLES = ("cosine", "linear", "exponential", "minus_sqrt")


def check(config: TrainConfig, root: Section, context: Context) -> None:
    """Raise ConfigError at the first thing that cannot work."""
    checks = _Checks(config, root, context)
    checks.ranges()
    checks.batches()
    checks.optimizer()
    checks.schedule()
    checks.methods()
    checks.data()
    checks.rest()


@dataclasses.dataclass(frozen=True, slots=True)
class _Checks:
    config: TrainConfig
    root: Section
    context: Context

    def fail(self, path: str, what: str) -> NoReturn:
        raise TrainConfigError(f"{place_of(self.root, path)}: {path} {what}")

    def ranges(self) -> None:
        for path, (holds, wanted) in _RANGES.items():
            value = _dig(self.config, _ELSEWHERE.get(path, path))
            if value is not None and not holds(float(str(value))):
                self.fail(path, f"is {value}; it must be {wanted}")

    def batches(self) -> None:
        steps = self.config.step_scheduler
        wide, narrow = steps.global_batch_size, steps.local_batch_size
        if wide % narrow == 0:
            return
        local = [n for n in range(1, min(wide, 2 * narrow, 10_000) + 1) if wide % n == 0]
        low = wide // narrow * narrow
        near = [str(n) for n in (low, low + narrow) if n]
        self.fail(
            "step_scheduler.global_batch_size",
            f"is {wide}, which is no multiple of local_batch_size {narrow}; take global"
            f" {' or '.join(near)}, or local {', '.join(map(str, local[-4:]))}",
        )

    def optimizer(self) -> None:
        options = self.config.optimizer.options
        for key, least in (("weight_decay", 0.0), ("eps", 0.0), ("momentum", 0.0)):
            value = options.get(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value < least:
                self.fail(f"optimizer.{key}", f"is {value}; it must be a number of 0 or more")
        betas = options.get("betas")
        good = isinstance(betas, list | tuple) and all(
            isinstance(b, int | float) and 0 <= b < 1 for b in betas
        )
        if betas is not None and not good:
            self.fail("optimizer.betas", f"is {betas}; it must be numbers from 0 to below 1")

    def schedule(self) -> None:
        plan = self.config.lr_scheduler
        if plan is None:
            return
        peak = self.config.optimizer.lr if plan.max_lr is None else plan.max_lr
        decays = plan.lr_decay_style != "constant"
        for key in ("min_lr", "init_lr") if decays else ("init_lr",):
            value = getattr(plan, key)
            if value is not None and value > peak:
                self.fail(
                    f"lr_scheduler.{key}",
                    f"is {value:g}, above the peak rate of {peak:g}; lower it or raise the rate",
                )
        if plan.lr_wsd_decay_style not in _WSD_STYLES:
            self.fail(
                "lr_scheduler.lr_wsd_decay_style",
                f"is '{plan.lr_wsd_decay_style}', expected {', '.join(_WSD_STYLES)}",
            )
        if plan.lr_decay_steps and (plan.lr_warmup_steps or 0) >= plan.lr_decay_steps:
            self.fail(
                "lr_scheduler.lr_warmup_steps",
                f"is {plan.lr_warmup_steps}, but lr_decay_steps is {plan.lr_decay_steps}; take"
                f" {plan.lr_decay_steps // 10} or so",
            )

    def methods(self) -> None:
        peft, quant = self.config.peft, self.config.quantization
        if peft is not None and not (peft.match_all_linear or peft.target_modules):
            self.context.note("peft names no modules: all linear layers get an adapter")
        if quant is None:
            return
        if quant.load_in_4bit and quant.load_in_8bit:
            self.fail("quantization.load_in_8bit", "and load_in_4bit are both true; keep one")
        if peft is None:
            self.fail(
                "quantization", "needs adapters: quantised weights cannot be trained; add peft"
            )
        if quant.bnb_4bit_quant_type not in ("nf4", "fp4"):
            self.fail(
                "quantization.bnb_4bit_quant_type",
                f"is '{quant.bnb_4bit_quant_type}', expected nf4 or fp4",
            )

    def data(self) -> None:
        config = self.config
        if config.validation_split and config.validation_dataset is not None:
            self.fail(
                "validation_split",
                "and validation_dataset are both given; drop one (--validation_dataset null)",
            )
        if config.dataset.streaming and config.step_scheduler.max_steps is None:
            self.fail(
                "dataset", "streams, so its length is not known; set step_scheduler.max_steps"
            )
        if config.validation_split and config.dataset.streaming:
            self.fail(
                "validation_split", "needs all rows, and dataset streams; give validation_dataset"
            )
        held_out = config.validation_dataset
        if held_out is not None and _overlap(config.dataset, held_out):
            self.context.note(
                "validation_dataset reads rows that are trained on, so its loss cannot show"
                " overfitting; use validation_split: 0.05 instead"
            )

    def rest(self) -> None:
        config = self.config
        if config.model.trust_remote_code and not config.allow_user_modules:
            self.fail(
                "model.trust_remote_code",
                f"runs code that comes with the model; to allow it, pass --allow-user-modules or"
                f" set {OPT_IN}=1",
            )
        if config.checkpoint.model_save_format != "safetensors":
            self.fail(
                "checkpoint.model_save_format",
                f"is '{config.checkpoint.model_save_format}'; only safetensors is written",
            )


def warmup_notice(config: TrainConfig, steps: int) -> str | None:
    """Return a notice if the stated warm-up leaves no step at the full rate.

    No error: a trial of few steps is often made with the config of a long run.
    """
    plan = config.lr_scheduler
    warmup = None if plan is None else plan.lr_warmup_steps
    if warmup is None or warmup < steps:
        return None
    return (
        f"lr_scheduler.lr_warmup_steps is {warmup}, but the run has {steps} steps: it never"
        f" reaches its full rate; take {steps // 10} or so"
    )


def place_of(root: Section, path: str) -> str:
    """Return where a key was set, or the nearest section above it."""
    node: Node = root
    place = root.place or "config"
    for part in path.split("."):
        inner = node.entries.get(part) if isinstance(node, Section) else None
        if inner is None:
            break
        node, place = inner, inner.place
    return place


def _overlap(train: DatasetConfig, held_out: DatasetConfig) -> bool:
    """Return whether rows of the second set are certainly among those of the first."""
    same = (train.source, train.name, train.target) == (
        held_out.source,
        held_out.name,
        held_out.target,
    )
    if not same or train.kind == "user":
        return False
    first, second = train.split or "train", held_out.split or "train"
    return first == second or second.startswith(f"{first}[")


def _dig(config: object, path: str) -> object:
    for part in path.split("."):
        config = getattr(config, part, None)
    return config
