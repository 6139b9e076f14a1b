"""Every format and layout that we know of reads with its own steps and values.

Each folder of fixtures/formats holds logs made by us, and in expected.json for each log the
series that must come out: ``{"train/loss": [steps, values]}``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from advisor.readers.discover import read_runs

FORMATS = Path(__file__).resolve().parents[1] / "fixtures" / "formats"
EXPECTED = {
    f"{table.parent.name}/{name}": series
    for table in sorted(FORMATS.glob("*/expected.json"))
    for name, series in json.loads(table.read_text(encoding="utf-8")).items()
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_log_of_a_known_layout_gives_its_series(name: str) -> None:
    (run,) = read_runs(FORMATS / name)
    for series, (steps, values) in EXPECTED[name].items():
        assert series in run.series, f"no {series} among {sorted(run.series)}"
        assert run.series[series].steps.tolist() == steps
        wanted = np.array([float(value) for value in values])
        assert np.allclose(run.series[series].values, wanted, rtol=5e-4, atol=1e-9, equal_nan=True)


def test_every_fixture_is_expected() -> None:
    logs = {
        f"{path.parent.name}/{path.name}"
        for path in FORMATS.glob("*/*")
        if path.name != "expected.json"
    }
    assert logs == set(EXPECTED)
