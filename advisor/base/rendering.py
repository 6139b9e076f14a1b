"""How a Report shows itself, handed down from above.

A Report prints itself and draws itself in a notebook, but what can do that (report/) stands above
findings and cannot be imported there. So `advisor/__init__.py`, which runs before any other module
of ours, puts two functions here that load `advisor.api` at their first use. A subclass in the API
would be a second class of one name, and the Monitor's reports would not print.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

renderers: dict[str, Callable[[Any], str]] = {}  # 'text' and 'html': from a Report
