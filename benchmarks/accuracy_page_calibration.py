"""The calibration's part of the accuracy page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def calibration_part(data: Mapping[str, Any]) -> list[str]:
    return []
