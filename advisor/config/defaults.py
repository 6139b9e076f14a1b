"""The documented defaults of presets/defaults.yaml: advice that is neither a finding nor a
range."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from advisor.base.paths import data_dir
from advisor.base.strict_yaml import parse_yaml
from advisor.errors import RuleError


@dataclass(frozen=True, slots=True)
class Default:
    """A recommended default: the guide's row, the key, the value, where it applies and why."""

    id: str
    key: str
    value: bool | int | float | str | list[str]
    where: str
    why: str


def load_defaults() -> tuple[Default, ...]:
    """Return all documented defaults."""
    path = data_dir("presets") / "defaults.yaml"
    document = parse_yaml(path.read_text(encoding="utf-8"))
    faults = [f"{path}:{fault.line}: {fault.what}" for fault in document.faults]
    if faults:
        raise RuleError("\n".join(faults))
    try:
        return tuple(msgspec.convert(document.data, type=list[Default]))
    except msgspec.ValidationError as error:
        raise RuleError(f"{path}:1: {error}") from None
