"""A rule-based advisor for fine-tuning runs: reads logs, diagnoses, proposes config changes.

    import advisor

    report = advisor.check("outputs/run-7")
    print(report)
    report.plan.apply("config.v2.yaml")

docs/python.md says more. Each name is loaded at its first use: `import advisor` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from advisor.base.rendering import renderers
from advisor.base.version import __version__

if TYPE_CHECKING:
    from advisor.api import (
        AdvisorError,
        Config,
        Edit,
        Finding,
        Monitor,
        Plan,
        Report,
        Run,
        Series,
        check,
        check_all,
        diagnose,
    )

__all__ = [
    "AdvisorError",
    "Config",
    "Edit",
    "Finding",
    "Monitor",
    "Plan",
    "Report",
    "Run",
    "Series",
    "__version__",
    "check",
    "check_all",
    "diagnose",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'advisor' has no attribute '{name}'")
    from advisor import api

    value: object = getattr(api, name)
    globals()[name] = value  # the next look-up skips this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _as_text(report: Report) -> str:
    from advisor.api import as_text

    return as_text(report)


def _as_html(report: Report) -> str:
    from advisor.api import as_html

    return as_html(report)


renderers.update(text=_as_text, html=_as_html)
