"""Stopping several processes together: the first one decides, and all stop before the same step.

If one process stopped alone, the others would wait for it forever in their next step.
"""

from __future__ import annotations

from typing import Any

from advisor.monitor import Policy


class JointStop:
    """Shares the first process's decision with all, over the CPU so that no device has to wait."""

    def __init__(self, policy: Policy, processes: int) -> None:
        self._is_needed = processes > 1 and policy.mode in ("stop", "act")
        self._group: Any = None

    def start(self) -> str:
        """Join the process group; return why no common stop is possible, '' where it is."""
        if not self._is_needed:
            return ""
        import torch.distributed as dist

        if not (dist.is_available() and dist.is_initialized() and dist.is_gloo_available()):
            return "the processes share no process group"
        self._group = dist.new_group(backend="gloo")
        return ""

    def agree(self, asked: bool) -> bool:
        """Return whether the first process asks to stop; all must call this at the same step."""
        if self._group is None:
            return False
        import torch
        import torch.distributed as dist

        said = torch.tensor([int(asked)])
        dist.broadcast(said, 0, group=self._group)
        return bool(said.item())
