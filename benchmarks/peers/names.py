"""What each peer's own names mean in our vocabulary. Generous: a name may mean several."""

from __future__ import annotations

STUCK = frozenset({"lr_too_low", "slow", "plateau", "underfit", "early_plateau", "no_signal"})
SPIKE = frozenset({"spikes", "spike"})
OVERFIT = frozenset({"overfit", "overfit_onset"})
STALL = frozenset({"data_stall", "low_utilization"})
ONE = {
    name: frozenset({name})
    for name in (
        "nonfinite",
        "divergence",
        "no_signal",
        "grad_spikes",
        "grad_vanishing",
        "lr_schedule",
        "eval_leak",
        "no_eval",
        "undertrained",
        "clipping",
        "oom",
        "noisy",
        "oscillation",
        "config",
        "data_format",
        "memorized",
        "resume_jump",
        "numerics",
    )
}

NAMES: dict[str, dict[str, frozenset[str]]] = {
    "losslint": {
        "nan_inf": ONE["nonfinite"],
        "loss_spike": SPIKE,
        "divergence": ONE["divergence"],
        "overfit_onset": OVERFIT,
        "stagnation": STUCK | {"converged"},
        "step_backtrack": ONE["resume_jump"],
        "parse": ONE["data_format"],
    },
    "runmedic": {
        "non_finite": ONE["nonfinite"],
        "divergence": ONE["divergence"],
        "loss_spikes": SPIKE,
        "no_learning": STUCK,
        "overfitting": OVERFIT,
        "val_below_train": ONE["eval_leak"],
        "grad_spikes": ONE["grad_spikes"],
        "constant_lr_plateau": STUCK,
        "input_bound": STALL,
        "slow_steps": STALL,
        "slowdown": STALL,
        "memory_growth": ONE["oom"],
        "log:*": ONE["oom"] | ONE["numerics"],
    },
    "ftdoctor": {
        "rl_run": ONE["config"],
        "no_eval": ONE["no_eval"],
        "overfitting": OVERFIT,
        "stopped_improving": STUCK | {"converged", "overfit_onset"},
        "metric_disagreement": OVERFIT,
        "loss_degenerate": ONE["nonfinite"] | ONE["no_signal"] | ONE["data_format"],
        "not_learning": STUCK | ONE["divergence"],
        "loss_spikes": SPIKE | ONE["memorized"],
        "lr_schedule": ONE["lr_schedule"],
        "gradients": ONE["nonfinite"]
        | ONE["grad_spikes"]
        | ONE["grad_vanishing"]
        | ONE["no_signal"],
        "eval_below_train": ONE["eval_leak"],
        "incomplete": ONE["undertrained"],
    },
    "trainspotter": {
        "Plateau": STUCK | {"converged"},
        "Overfitting onset": OVERFIT,
        "Gradient-norm explosion": ONE["grad_spikes"],
        "Gradient clipping likely saturated": ONE["clipping"],
        "No LR warmup detected": ONE["config"],
        "LR increased after its peak": ONE["lr_schedule"],
        "LR discontinuity": ONE["lr_schedule"],
        "Diverged (non-finite values)": ONE["nonfinite"],
        "Diverged (sustained growth)": ONE["divergence"],
        "Throughput regression": STALL,
        "Suspiciously low loss early (heuristic)": ONE["data_format"] | ONE["no_signal"],
        "Eval metric too noisy to rank checkpoints": ONE["noisy"],
        "Loss spike": SPIKE,
    },
    "trainproof": {
        "TP-NAN": ONE["nonfinite"],
        "TP-NAN-GRAD": ONE["nonfinite"],
        "TP-ZERO-LOSS": ONE["no_signal"],
        "TP-ZERO-LOSS-ONSET": ONE["nonfinite"] | ONE["no_signal"],
        "TP-FLAT": STUCK,
        "TP-DIVERGE": ONE["divergence"],
        "TP-DEAD-RUN": STUCK | ONE["divergence"],
        "TP-ZERO-GRAD": ONE["no_signal"] | ONE["grad_vanishing"],
        "TP-GRAD-SPIKE": ONE["grad_spikes"],
        "TP-ZERO-LR": ONE["lr_schedule"] | ONE["no_signal"],
        "TP-ZERO-LR-PARTIAL": ONE["lr_schedule"],
        "TP-THROUGHPUT": ONE["config"],
        "TP-OVERFIT": OVERFIT,
        "TP-STEP-CLIFF": STALL,
        "TP-LOADER-BOUND": STALL,
        "TP-GPU-UTIL": ONE["config"],
        "TP-NO-LOSS": ONE["data_format"],
    },
    "gradsnitch": {
        "GS001": ONE["nonfinite"],
        "GS002": ONE["nonfinite"] | ONE["numerics"],
        "GS003": ONE["grad_spikes"] | SPIKE,
        "GS004": OVERFIT,
        "GS005": STUCK,
        "GS006": ONE["divergence"],
        "GS007": ONE["grad_vanishing"] | STUCK,
        "GS008": frozenset({"lr_too_low", "divergence"}),
        "GS009": ONE["oscillation"],
        "GS010": ONE["lr_schedule"],
    },
}


def meaning(tool: str, native: str) -> frozenset[str]:
    """The symptoms that a native name may mean; an unknown name means itself."""
    table = NAMES[tool]
    if native in table:
        return table[native]
    for name, symptoms in table.items():
        if name.endswith("*") and native.startswith(name[:-1]):
            return symptoms
    return frozenset({native})
