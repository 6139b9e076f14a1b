"""The one table of metric names: what loggers write -> the canonical name."""

from __future__ import annotations

import re

_TRAIN: dict[str, tuple[str, ...]] = {
    "loss": (
        "loss", "train_loss", "training_loss", "loss_step", "train_loss_step", "lm_loss",
        "loss_train", "batch_loss", "step_loss", "loss_metrics/global_avg_loss", "global_avg_loss",
        "avg_loss", "nll_loss", "ce_loss", "total_loss", "train_batch_loss", "loss_metrics/loss",
        "loss_metrics/local_loss",
    ),
    "grad_norm": (
        "grad_norm", "gradient_norm", "gnorm", "total_norm", "global_grad_norm",
        "grad_2.0_norm_total", "grad_norm_total", "grad_norm_step",
    ),
    "lr": ("lr", "learning_rate", "lr_adamw", "lr_adam", "lr_sgd", "lr/pg0", "lr_group_0",
           "lr_adamw/pg1", "last_lr", "current_lr", "optim/lr", "lr_group0"),
    "accuracy": ("accuracy", "acc", "train_accuracy", "train_acc", "mean_token_accuracy",
                 "token_acc", "token_accuracy"),
    "tokens_per_second": (
        "tps", "tokens_per_second", "tokens_per_sec", "train_tokens_per_second", "tok/s",
        "throughput", "wps", "throughput(tps)", "tokens/s", "tok_per_sec",
        "tokens_per_second_per_gpu",
    ),
    "step_time": ("step_time", "iter_time", "step_time_s", "elapsed_time_per_iteration_(ms)",
                  "time_per_step", "iteration_time", "time_metrics/end_to_end(s)"),
    "data_time": ("data_time", "data_load_time", "time_metrics/data_loading(s)",
                  "batch_load_time", "data_loading_time"),
    "memory_gib": ("mem", "memory", "memory(gib)", "mem_gib", "peak_memory", "max_memory",
                   "memory/max_reserved(gib)", "peak_mem", "gpu_mem", "memory_gib"),
    "gpu_utilization": ("gpu_utilization", "gpu_util", "gpu_util_percent", "utilization_gpu"),
    "loss_scale": ("loss_scale", "grad_scale", "amp_scale", "scale"),
    "num_label_tokens": ("num_label_tokens",),
    "reward": ("reward", "rewards", "mean_reward", "reward_mean", "rewards/margins",
               "rewards/chosen"),
    "kl": ("kl", "kl_divergence", "approx_kl", "objective/kl"),
}
_EVAL: dict[str, tuple[str, ...]] = {
    "loss": ("loss", "loss_epoch", "nll_loss", "ce_loss", "lm_loss", "avg_loss", "loss_step"),
    "accuracy": ("accuracy", "acc", "mean_token_accuracy"),
}
_HELD_OUT = re.compile(r"^(eval|evaluation|val|valid|validation|dev)[_/\-. ]+(.+)$")
_TEST = re.compile(r"^(test)[_/\-. ]+(.+)$")
_HELD_OUT_END = re.compile(r"^(.+)[_/](eval|val|valid|validation)$")
_TRAINING = re.compile(r"^(train|training|losses|metrics|optim|perf|global|trainer)[_/\-. ]+(.+)$")
_LOOKUP = {alias: f"train/{name}" for name, aliases in _TRAIN.items() for alias in aliases}
_HELD = {alias: f"eval/{name}" for name, aliases in _EVAL.items() for alias in aliases}
# Summaries of a whole run that trainers write at its end; never a point of a curve.
SUMMARY = frozenset(
    "train_runtime train_samples_per_second train_steps_per_second total_flos".split()
)
STEP = ("step", "global_step", "current_steps", "_step", "steps", "iter", "iteration",
        "trainer/global_step", "train/global_step", "global_step/max_steps", "iterations",
        "step_num", "update", "num_updates", "batch")
EPOCH = ("epoch", "train/epoch", "epochs", "ep")
TIME = ("timestamp", "wall_time", "_timestamp", "time")
RANK_LOW = ("loss_epoch", "epoch_loss", "train_epoch_loss")  # used when nothing better is there


def plain(native: str) -> str:
    """Fold case, blanks and dashes of a native name."""
    return re.sub(r"[\s\-]+", "_", native.strip().lower())


def canonical(native: str) -> str:
    """Return the canonical name of a native metric name.

    An unknown metric keeps its own name under 'train/' or 'eval/'.
    """
    name = plain(native)
    held = _HELD_OUT.match(name) or _TEST.match(name)
    if held:
        rest = held.group(2)
        known = _HELD.get(rest)
        if known:
            return "test/loss" if held.group(1) == "test" and known == "eval/loss" else known
        tail = _HELD_OUT_END.match(rest) or re.match(r"^(.+)[_/](loss)$", rest)
        if tail and rest.endswith("loss") and not rest.startswith(("loss", "box", "cls", "dfl")):
            return f"eval/{rest[:-5].strip('_/')}/loss"
        return f"eval/{rest}"
    after = _HELD_OUT_END.match(name)
    if after and after.group(1) in _HELD:
        return _HELD[after.group(1)]
    if name in _LOOKUP:
        return _LOOKUP[name]
    train = _TRAINING.match(name)
    if train and train.group(2) in _LOOKUP:
        return _LOOKUP[train.group(2)]
    rest = train.group(2) if train and train.group(1) in ("train", "training") else name
    if rest in ("loss_epoch", "epoch_loss"):
        return "train/epoch_loss"
    return f"train/{rest}"
