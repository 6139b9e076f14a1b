"""The labelled runs of the accuracy report: generated, gallery, ../shared/logs where it is.

Each source keeps its own label format; here they become one, so that every figure counts alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.generated.generator import KINDS, make, write
from benchmarks.generated.healthy import HEALTHY
from benchmarks.places import BENCHMARKS, CACHE, ROOT, SHARED_LOGS
from benchmarks.scoring import FACTS

GALLERY = BENCHMARKS / "gallery" / "labels.jsonl"
GALLERY_RUNS = CACHE / "gallery"
# Runs that look sick to a naive rule; the other healthy kinds are plain.
TRAPS = frozenset(
    {
        "epoch_staircase", "length_ripple", "data_order_sawtooth", "lone_grad_outlier",
        "overflow_skips_at_start", "lr_zero_first", "grpo", "dpo", "resumed_small_transient",
        "eval_below_train", "curriculum_shift", "long_warmup", "short_twenty",
        # of the gallery
        "good-dpo", "good-grpo", "good-skips", "good-outlier", "good-by-length", "good-epochs",
        "good-batch-one", "good-sparse", "good-short",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cure:
    """One change of the config that mends a fault."""

    key: str
    direction: str  # up, down, set, remove
    value: Any = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """One run, where it lies, and all that is known about it."""

    id: str
    path: Path
    source: str  # generated, trained, emulated, real
    split: str  # tune, held
    fault: str
    family: str  # what is resampled as a whole: an arrangement of the gallery, a repository
    must: tuple[tuple[str, ...], ...] = ()  # of each entry one name, the most apt first
    may: frozenset[str] = frozenset()
    healthy: bool = False
    trap: bool = False
    causes: tuple[str, ...] = ()
    cures: tuple[Cure, ...] = ()
    onset: int | None = None
    arch: str = ""
    data: str = ""
    unscored: frozenset[str] = frozenset()  # symptoms that the labels say nothing of


def generated(seeds: range) -> list[Labelled]:
    """Write the generated runs that are not there yet, and label them."""
    root = CACHE / "accuracy" / "generated"
    split = "held" if seeds.start >= 1000 else "tune"
    found = []
    for kind in KINDS:
        for seed in seeds:
            case = make(kind, seed)
            folder = root / f"{case.name}.s{seed}"
            if not folder.is_dir() or not any(folder.iterdir()):
                write(case, root)
            found.append(
                Labelled(
                    f"{case.name}.s{seed}", folder, "generated", split, kind, f"{kind}.s{seed}",
                    (case.must,) if case.must else (), frozenset(case.may), kind in HEALTHY,
                    kind in TRAPS,
                )
            )  # fmt: skip
    return found


def gallery(labels: Path = GALLERY, runs: Path = GALLERY_RUNS) -> list[Labelled]:
    """The gallery's runs that lie on this machine; none where it was not made yet."""
    if not labels.exists():
        return []
    rows = [json.loads(line) for line in labels.read_text().splitlines() if line.strip()]
    return [of_gallery(row, runs / row["id"]) for row in rows if (runs / row["id"]).exists()]


def of_gallery(row: dict[str, Any], path: Path) -> Labelled:
    source = "emulated" if row.get("emulated") else "trained"
    return Labelled(
        id=row["id"],
        path=path,
        source=source,
        split=row["split"],
        fault=row["knob"],
        family=row["family"],
        must=tuple(tuple(names) for names in row["must"]) if row.get("visible", True) else (),
        may=frozenset(row["may"]),
        healthy=row["healthy"],
        trap=row["knob"] in TRAPS,
        causes=tuple(row["causes"]),
        cures=tuple(Cure(c["key"], c["direction"], c.get("value")) for c in row["cure"]),
        onset=row.get("onset"),
        arch=row["arch"],
        data=row["data"],
    )


def real(root: Path = SHARED_LOGS) -> list[Labelled]:
    """The labelled logs of strangers, where they are at hand."""
    if not (root / "labels.jsonl").exists():
        return []
    found = []
    for line in (root / "labels.jsonl").read_text().splitlines():
        row = json.loads(line)
        if "unscored" in row or row["id"].split("-")[0] in ("wandb", "mlflow"):
            continue
        must = tuple(tuple(names) for names in row["must"])
        may = frozenset([*row["likely"], *row["may"]])
        # their labels were made from the curves alone: facts of a config count for nothing
        found.append(
            Labelled(row["id"], root / row["file"], "real", "tune", row["id"].split("-")[0],
                     row["repo"], must, may, unscored=FACTS)
        )  # fmt: skip
    return found


def fingerprint(paths: Iterable[Path]) -> str:
    """A short checksum of what the files hold, whatever their times."""
    digest = hashlib.sha1(usedforsecurity=False)
    for path in sorted(paths):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def content(run: Labelled) -> str:
    """Checksum of one run: its logs and configs, not its weights."""
    if run.path.is_file():
        return fingerprint([run.path])
    files = [p for p in run.path.rglob("*") if p.is_file() and p.stat().st_size < 5_000_000]
    return fingerprint(p for p in files if p.suffix not in (".safetensors", ".bin", ".pt"))


def ours_now() -> str:
    """Checksum of all that decides an answer: the advisor's code and its data."""
    parts = [*ROOT.glob("advisor/**/*.py"), *ROOT.glob("rules/**/*"), *ROOT.glob("presets/*")]
    return fingerprint(p for p in parts if p.is_file() and p.suffix != ".pyc")


def pick(runs: Sequence[Labelled], **wanted: str) -> list[Labelled]:
    """The runs whose fields have these values."""
    return [r for r in runs if all(getattr(r, name) == v for name, v in wanted.items())]
