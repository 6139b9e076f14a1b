"""How the plain loop writes its log, and texts that only a large device would say."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]
GIB = (("2.00", "79.15", "1.31"), ("512.00", "23.64", "0.21"), ("1.96", "39.39", "0.87"))


def flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def out_of_memory(seed: int) -> str:
    """The words of torch for a full device."""
    asked, whole, free = GIB[seed % len(GIB)]
    unit = "MiB" if float(asked) > 100 else "GiB"
    used = float(whole) - float(free)
    return (
        f"CUDA out of memory. Tried to allocate {asked} {unit}. GPU 0 has a total capacity of "
        f"{whole} GiB of which {free} GiB is free. Including non-PyTorch memory, this process has "
        f"{used:.2f} GiB memory in use. Of the allocated memory {used - 2.1:.2f} GiB is allocated "
        "by PyTorch, and 1.02 GiB is reserved by PyTorch but unallocated."
    )


def write(rows: Rows, form: str, folder: Path, error: str = "") -> None:
    """Write the rows of a run; ``error``: the text that it ended with."""
    if form == "csv":
        _csv(rows, folder / "metrics.csv")
    elif form == "jsonl":
        lines = [json.dumps({k: _plain(v) for k, v in row.items()}) for row in rows]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    elif form == "tensorboard":
        _tensorboard(rows, folder)
    else:
        with (folder / "train.log").open("a") as log:
            log.write("\n".join(_line(row) for row in rows) + "\n" + error)


def _plain(value: Any) -> Any:
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _csv(rows: Rows, path: Path) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as out:
        table = csv.DictWriter(out, names)
        table.writeheader()
        table.writerows(rows)


def _line(row: dict[str, Any]) -> str:
    if "said" in row:
        return str(row["said"])
    first = f"step {row['step']}"
    pairs = [f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}"
             for key, value in row.items() if key != "step"]  # fmt: skip
    return " | ".join([first, *pairs])


def _tensorboard(rows: Rows, folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    names = {"val_loss": "eval/loss", "reward": "train/reward"}
    with SummaryWriter(str(folder)) as writer:
        for row in rows:
            for key, value in row.items():
                if key != "step":
                    writer.add_scalar(names.get(key, f"train/{key}"), value, row["step"])
