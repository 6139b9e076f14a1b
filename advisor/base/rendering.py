"""Renderers of a Report, passed down from the rooms above.

A Report prints itself and draws itself in a notebook, but the code for it (report/) imports
findings and cannot be imported there. So `advisor/__init__.py`, which runs before any other module,
stores two functions here that load `advisor.api` at their first use. A subclass in the API would be
a second class of the same name, and the Monitor's reports would not print.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

renderers: dict[str, Callable[[Any], str]] = {}  # keys 'text' and 'html'
