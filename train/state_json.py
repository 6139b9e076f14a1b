"""Nested state as JSON and back, without pickle: of a loader or an optimiser.

JSON knows no tuples, bytes, tensors or keys that are numbers: each is written as a mapping with
one marked key, and read back as what it was.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from train.errors import CheckpointError

_MARK = "~"


def to_plain(value: object) -> Any:
    """Return the value in JSON types."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [to_plain(each) for each in value]
    if isinstance(value, tuple):
        return {f"{_MARK}tuple": [to_plain(each) for each in value]}
    if isinstance(value, bytes | bytearray):
        return {f"{_MARK}bytes": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, np.ndarray):
        return {f"{_MARK}array": [str(value.dtype), list(value.shape), to_plain(value.tobytes())]}
    if isinstance(value, torch.Tensor):
        # bfloat16 is unknown to numpy: the bytes are
        raw = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        name = str(value.dtype).removeprefix("torch.")
        return {f"{_MARK}tensor": [name, list(value.shape), to_plain(raw.numpy().tobytes())]}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith(_MARK) for key in value):
            return {key: to_plain(each) for key, each in value.items()}
        pairs = [[to_plain(key), to_plain(each)] for key, each in value.items()]
        return {f"{_MARK}map": pairs}
    raise CheckpointError(
        f"a {type(value).__name__} in the state of the data loader cannot be saved without pickle; "
        "let the dataset's state_dict() hold numbers, text, lists, mappings or tensors"
    )


def from_plain(value: Any) -> Any:
    """Return the value that ``to_plain`` was given."""
    if isinstance(value, list):
        return [from_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not (key := next(iter(value))).startswith(_MARK):
        return {key: from_plain(each) for key, each in value.items()}
    held = value[key]
    match key.removeprefix(_MARK):
        case "tuple":
            return tuple(from_plain(each) for each in held)
        case "bytes":
            return base64.b64decode(held)
        case "map":
            return {from_plain(k): from_plain(v) for k, v in held}
        case "array":
            return np.frombuffer(from_plain(held[2]), dtype=held[0]).reshape(held[1]).copy()
        case "tensor":
            raw, kind = bytearray(from_plain(held[2])), getattr(torch, held[0])
            if not raw:
                return torch.empty(held[1], dtype=kind)
            return torch.frombuffer(raw, dtype=torch.uint8).view(kind).reshape(held[1])
    raise CheckpointError(f"'{key}' in a saved state is not known; did a newer version write it?")
