"""Labelled synthetic fine-tuning runs: 36 fault kinds, 20 healthy kinds and traps.

python -m benchmarks.generated.generator --out DIR --seeds 0:10 [--split tune|quoted]
    [--formats ...]

Writes DIR/<name>.s<seed>/trainer_state.json and DIR/labels.json. A run whose fault is too small
to be seen is named <kind>-faint: nothing must be said of it, its own symptoms may. Seeds from
1000 on are the quoted half: they draw from other real logs, and nothing is ever tuned on them.
"""

from __future__ import annotations

import argparse
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.generated.curves import Sketch
from benchmarks.generated.faults import FAULTS, STUCK
from benchmarks.generated.healthy import HEALTHY
from benchmarks.generated.numeric import NUMERIC

KINDS = {**FAULTS, **NUMERIC, **HEALTHY}
QUOTED_FROM = 1000
FORMATS = ("trainer_state", "jsonl", "csv", "tensorboard")
Row = dict[str, float | int]


@dataclass(frozen=True, slots=True)
class Case:
    """One generated run with its label."""

    kind: str
    seed: int
    must: tuple[str, ...]  # one of these has to be reported
    may: tuple[str, ...]
    amplitude: float
    rows: tuple[Row, ...]  # as Hugging Face's log_history
    console: str | None  # not None: a console log instead, ending in this text
    plain: bool  # has columns that trainer_state.json does not know: JSON lines instead

    @property
    def name(self) -> str:
        faulty = self.kind not in HEALTHY
        return f"{self.kind}-faint" if faulty and not self.must else self.kind


def _still_falls(s: Sketch) -> bool:
    """The clean curve loses over 1% in its last quarter: 'undertrained' is a fair remark."""
    tail = float(s.clean[int(0.75 * s.n)])
    return tail - float(s.clean[-1]) > 0.01 * tail


def _flat_early(s: Sketch) -> bool:
    """At a rate that is still high, 90% of the fall is over by 40% of the run, at a fair level."""
    start, early, end = (float(s.clean[i]) for i in (0, int(0.4 * s.n), -1))
    return bool(
        s.lr[-1] > 0.5 * s.lr.max() and end > 0.3 * start and early - end < 0.1 * (start - end)
    )


def _gap_opens(s: Sketch) -> bool:
    """The clean training curve falls by 5% over the second half while validation gains under 2%."""
    if len(s.eval_at) < 3:
        return False
    half = int(np.searchsorted(s.eval_at, s.n // 2))
    half = min(half, len(s.eval_at) - 2)
    train = s.clean[-1] / s.clean[s.eval_at[half]]
    return bool(train < 0.95 and s.eval_clean[-1] / s.eval_clean[half] > 0.98)


def _rows(s: Sketch) -> tuple[Row, ...]:
    digits = 4 if s.rng.random() < 0.6 else 12
    rows: list[Row] = []
    evals = {int(i): k for k, i in enumerate(s.eval_at)}
    for i in range(s.n):
        step = (i + 1) * s.every
        epoch = round((i + 1) / s.n * s.epochs, 4)
        row: Row = {
            "epoch": epoch,
            "learning_rate": float(s.lr[i]),
            "loss": round(float(s.loss[i]), digits),
            "step": step,
        }
        if s.grad is not None:
            row["grad_norm"] = round(float(s.grad[i]), 9)
        row.update({name: round(float(column[i]), 6) for name, column in s.extra.items()})
        rows.append(row)
        if i in evals:
            value = round(float(s.eval_loss[evals[i]]), digits)
            rows.append({"epoch": epoch, "eval_loss": value, "eval_runtime": 7.5, "step": step})
    return tuple(rows)


def make(kind: str, seed: int) -> Case:
    """Generate one run; the same kind and seed give the same run."""
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    s = KINDS[kind](rng, seed)
    may = [*s.may, *(["undertrained", "slow"] if _still_falls(s) else [])]
    may += ["overfit_onset"] if _gap_opens(s) else []
    may += STUCK if _flat_early(s) else []
    may = sorted(set(may) - set(s.must))
    rl = kind in ("grpo", "dpo")
    plain = bool(s.extra) and not rl
    console = s.console if kind == "out_of_memory" else None
    return Case(kind, seed, tuple(s.must), tuple(may), s.amplitude, _rows(s), console, plain)


def write_trainer_state(case: Case, folder: Path) -> None:
    last = case.rows[-1]
    state = {
        "best_metric": None,
        "best_model_checkpoint": None,
        "epoch": last["epoch"],
        "global_step": last["step"],
        "is_hyper_param_search": False,
        "log_history": case.rows,
        "logging_steps": case.rows[0]["step"],
        "max_steps": last["step"],
        "num_train_epochs": int(np.ceil(last["epoch"])),
    }
    (folder / "trainer_state.json").write_text(json.dumps(state, indent=1))


def write_jsonl(case: Case, folder: Path) -> None:
    lines = [json.dumps(row) for row in case.rows]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def write_csv(case: Case, folder: Path) -> None:
    names = sorted({name for row in case.rows for name in row})
    lines = [",".join(names)]
    lines += [",".join(str(row.get(name, "")) for name in names) for row in case.rows]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")


def write_console(case: Case, folder: Path) -> None:
    lines = [str({k: v for k, v in row.items() if k != "step"}) for row in case.rows]
    (folder / "train.log").write_text("\n".join([*lines, case.console or ""]) + "\n")


def write_tensorboard(case: Case, folder: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    with (folder / "events.out.tfevents.1700000000.host").open("wb") as stream:
        writer = RecordWriter(stream)
        for row in case.rows:
            for name, value in row.items():
                if name == "step":
                    continue
                tag = (
                    name.replace("eval_", "eval/") if name.startswith("eval_") else f"train/{name}"
                )
                summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                event = Event(wall_time=1.7e9 + row["step"], step=int(row["step"]), summary=summary)
                writer.write(event.SerializeToString())


def write(case: Case, root: Path, formats: tuple[str, ...] = ("trainer_state",)) -> Path:
    """Write one run below ``root``; kinds that need text or own columns use that format."""
    folder = root / f"{case.name}.s{case.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    if case.console is not None:
        write_console(case, folder)
        return folder
    writers = {
        "trainer_state": write_trainer_state,
        "jsonl": write_jsonl,
        "csv": write_csv,
        "tensorboard": write_tensorboard,
    }
    for name in ("jsonl",) if case.plain else formats:
        writers[name](case, folder)
    return folder


def label_file(cases: list[Case]) -> dict[str, object]:
    """Labels of a set: by name for score.py, and of each run in ``runs``."""
    by_name: dict[str, dict[str, list[str]]] = {}
    for case in cases:
        entry = by_name.setdefault(case.name, {"must_any": list(case.must), "may": []})
        entry["may"] = sorted(set(entry["may"]) | set(case.may))
    runs = {
        f"{c.name}.s{c.seed}": {
            "kind": c.kind,
            "must_any": c.must,
            "may": c.may,
            "amplitude": round(c.amplitude, 5),
        }
        for c in cases
    }
    return {"cases": by_name, "runs": runs}


def seeds_of(text: str, split: str) -> range:
    """Parse 'A:B' and keep the two halves apart."""
    low, high = (int(part) for part in text.split(":"))
    if (split == "quoted") != (low >= QUOTED_FROM) or (split == "tune" and high > QUOTED_FROM):
        raise SystemExit(
            f"--seeds {text}: the quoted half starts at {QUOTED_FROM}, tune is below it"
        )
    return range(low, high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0:10")
    parser.add_argument("--split", choices=("tune", "quoted"), default="tune")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--formats", nargs="*", default=["trainer_state"], choices=FORMATS)
    args = parser.parse_args()
    cases = []
    for kind in args.kinds:
        for seed in seeds_of(args.seeds, args.split):
            case = make(kind, seed)
            write(case, args.out, tuple(args.formats))
            cases.append(case)
    (args.out / "labels.json").write_text(json.dumps(label_file(cases), indent=1))
    faulty = sum(bool(c.must) for c in cases)
    print(f"{len(cases)} runs in {args.out}: {faulty} with a visible fault")


if __name__ == "__main__":
    main()
