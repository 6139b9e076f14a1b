"""Every figure in README's 'How good it is' stands in the results that it is said to come from."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
README = (ROOT / "README.md").read_text(encoding="utf-8")
# the part of the section that begins so, and where its figures come from
SOURCES = {
    "Diagnosis": ("detection.md", "stress.md", "real_logs.md", "accuracy.json",
                  "../../docs/accuracy.md", "../../benchmarks/README.md"),
    "Live": ("live.md", "live_cost.md", "callback_overhead.md", "metrics_overhead.md"),
    "Tuning": ("tuning.md", "tuning_kills.md", "tuning_real.md"),
    "Speed": ("speed.md", "fuzz.md"),
    "Training": ("train_speed.md", "real_finetune-base.md", "real_finetune-smollm2.md",
                 "../../presets/base/README.md"),
}  # fmt: skip
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
# not figures: names and sizes that are part of what was measured
_NAMES = re.compile(r"SmolLM2-135M|r=8|`[^`]*`|fp32|\]\([^)]*\)|95%|TPE|200 rows|1,000,000 rows")


def parts() -> dict[str, str]:
    """The section by its bold headings."""
    section = README.partition("## How good it is")[2].partition("\n## ")[0]
    found = re.split(r"(?m)^\*\*(\w+)\*\*", section)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def numbers(text: str) -> list[str]:
    return [n.rstrip(",").replace(",", "") for n in _NUMBER.findall(text)]


def stands(figure: str, known: list[float]) -> bool:
    """Whether a result rounds to the figure, as it is or as a share in per cent."""
    wanted, digits = float(figure), len(figure.partition(".")[2])
    half = 0.5000001 * 10.0**-digits
    return any(abs(value * by - wanted) <= half for value in known for by in (1, 100))


def counted() -> dict[str, list[float]]:
    """Figures that are counts of what is stored: the gallery's runs and faults, the grids' runs."""
    gallery = (ROOT / "benchmarks" / "gallery" / "labels.jsonl").read_text(encoding="utf-8")
    labels = [json.loads(line) for line in gallery.splitlines()]
    faults = {label["knob"] for label in labels if not label["healthy"]}
    faults = {name for name in faults if not name.startswith("good")}
    stored = (ROOT / "benchmarks" / "tuning" / "data").glob("*.gz")
    grids = [gzip.decompress(path.read_bytes()) for path in stored]
    runs = sum(grid.count(b"\n") for grid in grids)
    return {"Diagnosis": [len(labels), len(faults)], "Tuning": [runs]}


def test_every_part_of_the_section_has_its_sources() -> None:
    assert set(parts()) == set(SOURCES)


@pytest.mark.parametrize("part", SOURCES)
def test_each_figure_of_the_readme_is_in_the_results(part: str) -> None:
    texts = [(RESULTS / name).read_text(encoding="utf-8") for name in SOURCES[part]]
    known = [float(n) for text in texts for n in numbers(text)]
    known += counted().get(part, [])
    told = numbers(_NAMES.sub(" ", parts()[part]))
    assert len(told) >= 5
    assert [figure for figure in told if not stands(figure, known)] == []
