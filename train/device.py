"""The device of a run: which one, its memory, and how fast it can be."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from typing import Any

import torch
from torch import nn

from train.clock import Clock, DeviceClock, HostClock, Mark

_GIB = 1 << 30
# Dense bf16 peaks in TFLOP/s from the makers' data sheets; the first name that fits wins.
_PEAKS = {
    "B200": 2250.0, "H200": 989.0, "H100 PCIe": 756.0, "H100": 989.0, "A100": 312.0,
    "A10G": 70.0, "A10": 125.0, "L40S": 362.0, "L4": 121.0, "RTX 4090": 165.0, "RTX 3090": 71.0,
}  # fmt: skip
# glibc's mallopt: blocks below the one threshold come from the heap, and as much free memory as
# the other says stays at its end.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _KEPT = -1, -3, 2**30
_OOM_TEXTS = ("out of memory", "can't allocate memory", "not enough memory")


def pick_device() -> torch.device:
    """Return the first GPU where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def new_clock(device: torch.device) -> Clock:
    """Return the clock that measures this device's work."""
    if device.type == "cuda":
        return DeviceClock(_new_event)
    return HostClock()


def _new_event() -> Mark:
    event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    return event  # type: ignore[no-any-return]


def memory_peak(device: torch.device) -> float:
    """Return the peak in GiB: of the device's allocator, or of the process on the CPU."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / _GIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / _GIB if sys.platform == "darwin" else peak * 1024 / _GIB


def peak_flops(device: torch.device) -> float | None:
    """Return the device's peak in FLOP/s; None if its name is not known."""
    if device.type != "cuda":
        return None
    return peak_of(torch.cuda.get_device_name(device))


def peak_of(name: str) -> float | None:
    """Return the peak of a device by its name."""
    return next((1e12 * tera for part, tera in _PEAKS.items() if part in name), None)


def flops_per_token(model: nn.Module, whole: bool) -> float:
    """Return FLOP per token: 2 a weight forward, 2 for the input's gradient, 2 for the weight's.

    Weights of linear layers only. Frozen weights need no gradient of their own.
    """
    linear: list[Any] = [m for m in model.modules() if hasattr(m, "in_features")]
    weights = sum(m.in_features * m.out_features for m in linear)
    return (6.0 if whole else 4.0) * float(weights)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(t in str(error) for t in _OOM_TEXTS)


def free_memory(device: torch.device) -> None:
    """Free the memory of a failed step."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def keep_freed_memory() -> bool:
    """Let the C library keep large blocks; False if it has no such thresholds (glibc has).

    A step frees and takes the same large tensors again and again. To hand them back to the system
    in between costs page faults, about a tenth of a CPU step.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _KEPT) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
