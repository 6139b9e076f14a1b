"""One value as config text: the same for every reader, in the style of the old text."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal

from advisor.base.numbers import finite
from advisor.dialects.tree import cast

_PLAIN = re.compile(r"[A-Za-z0-9_./+][\w ./+\-]*")
_YES_NO = ("yes", "no", "on", "off", "y", "n")  # booleans of YAML 1.1
_EXPONENT = re.compile(r"[-+]?\d+(?P<dot>\.\d*)?(?P<e>[eE])(?P<sign>[-+]?)(?P<pad>0*)\d+")
_DECIMAL = re.compile(r"[-+]?(?P<lead>\d*)\.\d+")
_SMALLEST, _LARGEST = 1e-9, 1e9  # beyond these a decimal has too many zeros to read
_WHOLE = re.compile(r"[-+]?\d+\.0+")


def scalar(value: object, as_json: bool = False) -> str:
    """Return a value as YAML (or JSON) text that every reader parses to the same value."""
    if as_json:
        return json.dumps(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(scalar(item) for item in value) + "]"
    if isinstance(value, str):
        safe = _PLAIN.fullmatch(value) and cast(value) == value and value == value.strip()
        plain = safe and value.lower() not in _YES_NO
        return value if plain else json.dumps(value, ensure_ascii=False)
    return str(value)


def like(sample: str, value: object, as_json: bool = False) -> str:
    """Return a value as text in the style of ``sample``, the text that it replaces."""
    quote = sample[:1] if sample[:1] in ("'", '"') and sample[-1:] == sample[:1] else ""
    bare = sample[1:-1] if quote else sample
    if isinstance(value, str):
        kept = quote == "'" and "'" not in value and value.isprintable()
        doubled = quote == '"' and not as_json
        text = json.dumps(value, ensure_ascii=False) if doubled else scalar(value, as_json)
        return f"'{value}'" if kept else text
    if isinstance(value, bool) or not isinstance(value, (int, float)) or finite(value) is None:
        return scalar(value, as_json)
    text = _number_like(bare, value, as_json)
    return f"{quote}{text}{quote}" if quote and cast(bare) != bare else text


def _number_like(bare: str, value: int | float, as_json: bool) -> str:
    if isinstance(value, int):
        return f"{value}.0" if _WHOLE.fullmatch(bare) else scalar(value, as_json)
    match = _EXPONENT.fullmatch(bare)
    if match is not None and value:
        return _with_exponent(value, match)
    decimal = _DECIMAL.fullmatch(bare)
    if decimal is not None and (not value or _SMALLEST <= abs(value) < _LARGEST):
        text = _positional(value)
        return text if decimal["lead"] else re.sub(r"^(-?)0\.", r"\1.", text)
    return scalar(value, as_json)


def _with_exponent(value: float, style: re.Match[str]) -> str:
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    first, *more = (str(digit) for digit in digits)
    power = int(exponent) + len(digits) - 1
    mantissa = ("-" if sign else "") + first
    if more or style["dot"]:
        mantissa += "." + ("".join(more) or "0")
    padded = f"{abs(power):02d}" if style["pad"] else str(abs(power))
    mark = "-" if power < 0 else style["sign"].replace("-", "+")
    return f"{mantissa}{style['e']}{mark}{padded}"


def _positional(value: float) -> str:
    text = format(Decimal(repr(value)), "f")
    return text if "." in text else f"{text}.0"


def _float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    if "e" in text and "." not in text:
        text = text.replace("e", ".0e")  # YAML 1.1 readers parse 6e-05 as text
    return text
