"""Which causes are one for the user: those that the same change of the same key mends."""

from __future__ import annotations

# cause -> the change that mends it; a cause that is not listed stands for itself
CURES: dict[str, tuple[str, str]] = {
    "lr_too_high": ("optimizer.lr", "down"),
    "lr_too_low": ("optimizer.lr", "up"),
    "warmup_too_short": ("lr_scheduler.lr_warmup_steps", "up"),
    "warmup_too_long": ("lr_scheduler.lr_warmup_steps", "down"),
    "schedule_wrong": ("lr_scheduler.lr_decay_steps", "up"),
    "schedule_stepped_per_process": ("lr_scheduler.lr_decay_steps", "up"),
    "too_many_epochs": ("step_scheduler.num_epochs", "down"),
    "too_few_epochs": ("step_scheduler.num_epochs", "up"),
    "run_cut_short": ("step_scheduler.num_epochs", "up"),
    "batch_too_small": ("step_scheduler.global_batch_size", "up"),
    "batch_too_large": ("step_scheduler.global_batch_size", "down"),
    "missing_clipping": ("clip_grad_norm.max_norm", "down"),
    "clipping_too_tight": ("clip_grad_norm.max_norm", "up"),
    "rank_too_low": ("peft.dim", "up"),
    "rank_too_high": ("peft.dim", "down"),
    "fp16_overflow": ("model.torch_dtype", "set"),
    "numerical_instability": ("model.torch_dtype", "set"),
    "weight_decay_too_high": ("optimizer.weight_decay", "down"),
    "weight_decay_too_low": ("optimizer.weight_decay", "up"),
}


def same_cure(one: str, other: str) -> bool:
    """Whether two causes are mended by the same key in the same direction."""
    if one == other:
        return True
    return one in CURES and CURES[one] == CURES.get(other)


def equivalents() -> list[list[str]]:
    """The groups of causes that count as one."""
    groups: dict[tuple[str, str], list[str]] = {}
    for cause, cure in CURES.items():
        groups.setdefault(cure, []).append(cause)
    return [sorted(names) for names in groups.values() if len(names) > 1]
