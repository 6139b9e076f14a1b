"""A stop of several processes: the first one decides, and all hear it before the same step.

A process that stopped alone would leave the others waiting for it in their next step.
"""

from __future__ import annotations

from typing import Any

from advisor.monitor import Policy


class Together:
    """Asks the first process for its decision; over the CPU, so that no device is waited for."""

    def __init__(self, policy: Policy, processes: int) -> None:
        self._is_needed = processes > 1 and policy.mode in ("stop", "act")
        self._group: Any = None

    def start(self) -> str:
        """Join the others; return why a stop cannot be agreed on, '' where it can be."""
        if not self._is_needed:
            return ""
        import torch.distributed as dist

        if not (dist.is_available() and dist.is_initialized() and dist.is_gloo_available()):
            return "these processes have no common group"
        self._group = dist.new_group(backend="gloo")
        return ""

    def agree(self, asked: bool) -> bool:
        """Return what the first process asks for; each has to call this at the same step."""
        if self._group is None:
            return False
        import torch
        import torch.distributed as dist

        said = torch.tensor([int(asked)])
        dist.broadcast(said, 0, group=self._group)
        return bool(said.item())
