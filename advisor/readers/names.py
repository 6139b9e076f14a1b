"""The one table of metric names: what loggers write -> the canonical name.

A native name is folded (case, blanks, dashes, camelCase), the words for 'training' or 'held out'
are removed, and the rest is looked up. To support an alias, add a word here; if one log has
several aliases of a metric, the first in this table is preferred.
"""

from __future__ import annotations

import re
from functools import lru_cache

_METRICS: dict[str, str] = {
    "loss": """loss total_loss loss/total batch_loss loss_batch step_loss loss_step
        lm_loss loss_lm ce_loss loss_ce nll_loss cross_entropy_loss crossentropyloss
        cross_entropy language_cross_entropy languagecrossentropy xent cost
        reduced_loss gpt_loss pt_loss language_loss main_loss global_loss tr_loss
        loss_metrics/global_avg_loss global_avg_loss loss_metrics/loss loss_metrics/local_loss
        avg_loss loss_avg average_loss mean_loss loss_mean avr_loss running_loss smoothed_loss
        smooth_loss losses loss_value lm_loss_value reduced_lm_loss loss/loss final_loss""",
    "epoch_loss": """loss_epoch epoch_loss loss/epoch loss_per_epoch epoch_average_loss
        avr_epoch_loss epoch/loss""",
    "grad_norm": """grad_norm gradient_norm gnorm total_norm global_grad_norm grad/norm
        grad_2.0_norm_total grad_norm_total grad_norm_step gradnorm norm/grad optim/grad_norm
        total_grad_norm grad_norm/total l2_norm/grad/global grad_global_norm actor/grad_norm
        global_gradient_norm optim/total_grad_norm""",
    "lr": """lr learning_rate lr_adamw lr_adam lr_sgd lr/pg0 lr_group_0 lr_adamw/pg1 last_lr
        current_lr optim/lr lr_group0 l.r. learningrate lr_abs lr_scheduler lr/0 lr0 optimizer/lr
        lr_decoupledadamw/group0 lr_fusedadam lr_adam/pg1 base_lr lr_step schedule/lr lr(1e_3)
        lr/group0 lr/group_0 lr_adamw/group0 optimizer_lr actor/lr""",
    "accuracy": """accuracy acc token_accuracy mean_token_accuracy token_acc top1 acc1 acc@1
        accuracy_top1 sparse_categorical_accuracy categorical_accuracy binary_accuracy
        languageaccuracy""",
    "tokens_per_second": """tps tokens_per_second tokens_per_sec tok/s throughput wps
        throughput(tps) tokens/s tokens/sec tok_per_sec tokens_per_second_per_gpu
        words_per_second tokens_per_sec_per_gpu""",
    "step_time": """step_time iter_time step_time_s elapsed_time_per_iteration_(ms) time_per_step
        iteration_time time_metrics/end_to_end(s) step_timing_in_s timing_in_s sec/step
        seconds_per_step time_per_iteration time_step""",
    "data_time": """data_time data_load_time time_metrics/data_loading(s) batch_load_time
        data_loading_time dataload_time time_data""",
    "memory_gib": """mem memory memory(gib) mem_gib peak_memory max_memory peak_mem gpu_mem
        memory_gib memory/max_reserved(gib) memory/max_mem_active(gib) peak_memory_active
        peak_memory_reserved""",
    "gpu_utilization": "gpu_utilization gpu_util gpu_util_percent utilization_gpu",
    "loss_scale": "loss_scale grad_scale amp_scale scale",
    "num_label_tokens": "num_label_tokens",
    "reward": """reward rewards mean_reward reward_mean critic/rewards/mean critic/score/mean
        objective/rlhf_reward objective/scores rewards/chosen rewards/margins""",
    "kl": "kl kl_divergence approx_kl objective/kl kl_div",
}
_HELD_METRICS = ("loss", "epoch_loss", "accuracy")  # the others mean nothing on a held-out set
_SIDES = {
    "train": "train training tr",
    "eval": "eval evaluation val valid validation dev heldout held_out",
    "test": "test testing",
}
# Prefixes under which trackers group training metrics.
_GROUPS = "losses metrics optim perf global trainer reduced epoch batch model stats"
SIDE_WORDS = {word: side for side, words in _SIDES.items() for word in words.split()}
_WORDS = "|".join(sorted(SIDE_WORDS, key=len, reverse=True))
_BEFORE = re.compile(rf"^({_WORDS})[_/\-. :]+(.+)$")
_AFTER = re.compile(rf"^(.+)[_/\-.]({_WORDS})$")
_BETWEEN = re.compile(rf"^(metrics|loss|losses)/({_WORDS})/(.+)$")
_JOINED = re.compile(rf"^({_WORDS})(loss|losses|acc|accuracy|ppl)$")
_GROUPED = re.compile(rf"^({'|'.join(_GROUPS.split())})[_/\-. ]+(.+)$")
_SET = re.compile(r"^(.+)[_/](loss)$")
_PARTS_OF_LOSS = ("loss", "box", "cls", "dfl", "nll", "ce", "lm")
_ORDER = {a: (m, i) for m, names in _METRICS.items() for i, a in enumerate(names.split())}
# Summaries of a whole run that trainers log at its end; never points of a curve.
SUMMARY = frozenset(
    ["train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos"]
)
STEP = ("step", "global_step", "current_steps", "train/global_step", "trainer/global_step",
        "num_updates", "steps", "iter", "iteration", "global_step/max_steps", "iterations", "iters",
        "step_num", "train_step", "training_step", "optimizer_step", "global_steps", "update",
        "updates", "batch", "batch_idx", "it", "_step", "trainer_step", "time/batch", "n_iter",
        "train_steps", "time/step", "num_steps", "iter_num", "train_num_updates",
        "valid_num_updates", "index", "unnamed:_0", "#")  # fmt: skip
EPOCH = ("epoch", "train/epoch", "epochs", "ep", "time/epoch", "current_epoch", "epoch_num")
TIME = ("timestamp", "wall_time", "_timestamp", "time", "created_at", "datetime", "date")


def plain(native: str) -> str:
    """Return a native name in lower case, with underscores for blanks, dashes and camelCase."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", native.strip())
    return re.sub(r"[\s\-]+", "_", spaced.lower())


@lru_cache(maxsize=4096)
def canonical(native: str) -> str:
    """Return the canonical name of a native metric name, such as 'train/loss'.

    An unknown metric keeps its own name under 'train/' or 'eval/'.
    """
    side, rest = _side(plain(native))
    known = _look_up(rest)
    if side in ("eval", "test"):
        if known == "epoch_loss":
            known = "loss"
        if known in _HELD_METRICS:
            return "test/loss" if side == "test" and known == "loss" else f"eval/{known}"
        of_set = _SET.match(rest)
        if of_set and not rest.startswith(_PARTS_OF_LOSS):
            return f"eval/{of_set[1].strip('_/')}/loss"
        return f"eval/{rest}"
    return f"train/{known or rest}"


def _side(name: str) -> tuple[str, str]:
    """Split a folded name into its side ('train', 'eval', 'test' or '') and the rest."""
    if name in _ORDER:
        return "", name
    between = _BETWEEN.match(name)
    if between:  # 'metrics/eval/x' -> 'x', 'loss/train/total' -> 'loss/total'
        rest = between[3] if between[1] == "metrics" else f"loss/{between[3]}"
        return SIDE_WORDS[between[2]], rest
    for pattern, word, rest in ((_BEFORE, 1, 2), (_JOINED, 1, 2), (_AFTER, 2, 1)):
        match = pattern.match(name)
        if match and (pattern is not _AFTER or _look_up(match[rest])):
            return SIDE_WORDS[match[word]], match[rest]
    grouped = _GROUPED.match(name)
    if grouped and (grouped[2] in _ORDER or _side(grouped[2])[0]):
        return _side(grouped[2])
    return "", name


def _look_up(rest: str) -> str:
    if rest in _ORDER:
        return _ORDER[rest][0]
    grouped = _GROUPED.match(rest)
    return _ORDER[grouped[2]][0] if grouped and grouped[2] in _ORDER else ""


@lru_cache(maxsize=4096)
def is_known(native: str) -> bool:
    """Return whether a native name is an alias of a metric in the table."""
    return bool(_look_up(_side(plain(native))[1]))


def is_telling(name: str) -> bool:
    """Return whether a canonical name shows training progress; a table without one is no log."""
    return name.endswith("loss") or name.split("/", 1)[-1] in _METRICS


def rank(native: str) -> int:
    """Return the position of a name among its metric's aliases; the lowest is preferred."""
    rest = _side(plain(native))[1]
    return _ORDER[rest][1] if rest in _ORDER else len(_ORDER)


def is_place(native: str) -> bool:
    """Return whether a column gives a row's position (step, epoch or time) and is no metric."""
    folded = plain(native)
    return folded in STEP or folded in EPOCH or folded in TIME
