"""Inferring a run's training objective from the metrics it logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from advisor.run import Series

_PREFERENCE = (
    "rewards/chosen", "rewards/margins", "logps/chosen", "chosen_reward", "reward_chosen",
    "rewards_chosen", "reward_margin", "rewards/accuracies",
)  # fmt: skip
_ODDS = ("log_odds_ratio", "log_odds_chosen", "odds_ratio_loss")
_REINFORCED = (
    "completions/", "completion_length", "reward_std", "objective/kl", "policy/", "pg_loss",
    "policy_loss", "approxkl", "approx_kl", "clip_ratio", "clipfrac", "frac_reward_zero_std",
)  # fmt: skip
_SCORED = ("mean_reward", "min_reward", "max_reward")  # a reward model's scores, not a policy's


def objective_of(series: Mapping[str, Series]) -> str:
    """Return 'rl', 'dpo', 'orpo', 'kto' or 'reward' where the metrics show it, otherwise ''."""
    logged = [name.lower() for one in series.values() for name in (one.name, one.native)]
    bare = {name.removeprefix("train/").removeprefix("train_") for name in logged}
    if _has_any(logged, _ODDS):
        return "orpo"
    if _has_any(logged, _PREFERENCE):
        return "kto" if {"kl", "rewards/chosen"} <= bare else "dpo"
    if _has_any(logged, _REINFORCED):
        return "rl"
    if all(_has_any(logged, (name,)) for name in _SCORED):
        return "reward"
    return "rl" if {"train/reward", "train/kl"} <= {*logged} else ""


def _has_any(logged: Iterable[str], parts: tuple[str, ...]) -> bool:
    return any(part in name for name in logged for part in parts)
