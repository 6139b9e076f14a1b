"""Live advice in a loop with Accelerate: ``Accelerator(log_with=[AdvisorTracker()])``."""

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
    """Gets what ``accelerator.log`` gets, and tells each finding in a line.

    A tracker cannot end a loop: ``should_stop`` says that the policy asks for it. The config of
    ``accelerator.init_trackers(project, config=...)`` is read under the names that scripts use;
    ``max_steps`` in it says how long the run is to be.
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
        return self.advice

    @property
    def should_stop(self) -> bool:
        """Return whether the policy asks for the end of the training."""
        return bool(self.advice.asked)

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        planned = values.get("max_steps", values.get("max_train_steps"))
        facts = {"max_steps": planned} if isinstance(planned, int) and planned > 0 else {}
        self.advice.start(lambda: generic.read(dict(values)), lambda: facts)

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        if self.advice.monitor is None:
            self.advice.start(dict)
        self._step = self._step + 1 if step is None else step
        self.advice.observe(self._step, values)

    def finish(self) -> None:
        self.advice.close()
