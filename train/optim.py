"""The optimiser by its name in the config."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Parameter

from train.config.types import OptimizerConfig
from train.errors import MissingExtra, TrainConfigError

_BITSANDBYTES = ("8bit", "32bit", "Paged", "Lion", "LAMB", "LARS", "AdEMAMix")


def build_optimizer(
    config: OptimizerConfig, parameters: Iterable[Parameter]
) -> torch.optim.Optimizer:
    """Return the optimiser over one group of parameters.

    One group, as in AutoModel: weight decay reaches norms and biases too, and a config means
    the same here as there.
    """
    kind = _class_of(config.name)
    options: dict[str, Any] = {k: _tuples(v) for k, v in config.options.items()}
    options["lr"] = config.lr
    accepted = inspect.signature(kind).parameters
    if "fused" in accepted and not {"fused", "foreach"} & set(options):
        options["fused"] = True  # one kernel over all weights, on CPU and GPU alike
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        known = ", ".join(name for name in accepted if name not in ("params", "self"))
        raise TrainConfigError(
            f"optimizer.{unknown[0]}: {config.name} has no such option; it has {known}"
        )
    try:
        return kind(list(parameters), **options)
    except (ValueError, TypeError) as error:
        raise TrainConfigError(f"optimizer: {config.name}: {error}") from None


def _class_of(name: str) -> type[torch.optim.Optimizer]:
    by_lower = {each.lower(): each for each in dir(torch.optim) if not each.startswith("_")}
    found = getattr(torch.optim, by_lower.get(name.lower(), ""), None)
    if isinstance(found, type) and issubclass(found, torch.optim.Optimizer):
        return found
    if any(part.lower() in name.lower() for part in _BITSANDBYTES):
        return _optimizer_in_8_bit(name)
    raise TrainConfigError(
        f"optimizer: '{name}' is no optimiser of torch.optim or bitsandbytes.optim"
    )


def _optimizer_in_8_bit(name: str) -> type[torch.optim.Optimizer]:
    try:
        from bitsandbytes import optim
    except ImportError:
        raise MissingExtra(
            f"optimizer: {name} needs bitsandbytes; pip install 'finetune-advisor[train]'"
        ) from None
    by_lower = {each.lower(): each for each in dir(optim) if not each.startswith("_")}
    found = getattr(optim, by_lower.get(name.lower(), ""), None)
    if not isinstance(found, type) or not issubclass(found, torch.optim.Optimizer):
        raise TrainConfigError(f"optimizer: bitsandbytes.optim has no '{name}'")
    return found


def _tuples(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = lr
