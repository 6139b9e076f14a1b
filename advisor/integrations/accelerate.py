"""Live advice in a training loop with Accelerate: ``Accelerator(log_with=[AdvisorTracker()])``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accelerate.tracking import GeneralTracker

from advisor.dialects import generic
from advisor.findings import Severity
from advisor.integrations.advice import Advice, Say
from advisor.monitor import Policy
from advisor.rulebook.rule import Rulebook


class AdvisorTracker(GeneralTracker):  # type: ignore[misc]
    """A tracker that receives what ``accelerator.log`` does, and prints each finding in a line.

    A tracker cannot end your loop: check ``should_stop``, which is True once the policy asks for
    a stop. The config given to ``accelerator.init_trackers(project, config=...)`` is read under
    the usual names of scripts; ``max_steps`` in it is the planned length of the run.
    """

    name = "advisor"
    requires_logging_directory = False
    main_process_only = True

    def __init__(
        self,
        policy: Policy | str | Mapping[str, object] = "warn",
        *,
        on_finding: str | None = None,
        say: Say | None = None,
        severity: Severity = "warning",
        rulebook: Rulebook | None = None,
    ) -> None:
        super().__init__()
        self.advice = Advice(
            policy, say=say, on_finding=on_finding, severity=severity, rulebook=rulebook
        )
        self._step = 0

    @property
    def tracker(self) -> Advice:
        """The advice, for ``accelerator.get_tracker("advisor")``."""
        return self.advice

    @property
    def should_stop(self) -> bool:
        """Whether the policy has asked to end the training."""
        return bool(self.advice.asked)

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Begin the run with the config of ``init_trackers``."""
        planned = values.get("max_steps", values.get("max_train_steps"))
        facts = {"max_steps": planned} if isinstance(planned, int) and planned > 0 else {}
        self.advice.start(lambda: generic.read(dict(values)), lambda: facts)

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Take a row of metrics; without ``step`` rows count from 1."""
        if self.advice.monitor is None:
            self.advice.start(dict)
        self._step = self._step + 1 if step is None else step
        self.advice.observe(self._step, values)

    def finish(self) -> None:
        """End the run, and print its status."""
        self.advice.close()
