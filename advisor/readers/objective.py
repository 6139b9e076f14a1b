"""What a run optimises, told by the metrics that it logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from advisor.run import Series

_PREFERENCE = ("rewards/chosen", "rewards/margins", "logps/chosen")
_REINFORCED = ("completions/", "completion_length", "reward_std", "objective/kl", "policy/")


def objective_of(series: Mapping[str, Series]) -> str:
    """'rl' or 'dpo' where the metrics say so, otherwise ''."""
    logged = [name.lower() for one in series.values() for name in (one.name, one.native)]
    if _any(logged, _PREFERENCE):
        return "dpo"
    return "rl" if _any(logged, _REINFORCED) or {"train/reward", "train/kl"} <= {*logged} else ""


def _any(logged: Iterable[str], parts: tuple[str, ...]) -> bool:
    return any(part in name for name in logged for part in parts)
