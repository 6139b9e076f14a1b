"""What every reader of READERS owes, on its own fixtures: a new reader is tested by adding some."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.readers import READERS, read_file, reader_of, role_of
from advisor.readers.discover import read_runs
from advisor.run import Run
from tests.readers.test_round_trip import runs_or_error

FORMATS = Path(__file__).resolve().parents[1] / "fixtures" / "formats"
LOGS = {
    f"{entry.name}/{path.name}": entry
    for entry in READERS
    for path in sorted((FORMATS / entry.name).glob("*"))
    if path.is_file() and path.name != "expected.json"
}


def points(runs: list[Run]) -> list[dict[str, tuple[bytes, bytes]]]:
    return [
        {name: (s.steps.tobytes(), s.values.tobytes()) for name, s in run.series.items()}
        for run in runs
    ]


@pytest.mark.parametrize("entry", READERS, ids=lambda entry: entry.name)
def test_a_reader_has_fixtures_and_finds_its_example_in_a_folder(entry: object) -> None:
    assert entry in LOGS.values()
    assert role_of(entry.example.replace("*", "x")) == entry.role  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", LOGS)
def test_a_log_is_read_by_the_reader_whose_folder_it_lies_in(name: str) -> None:
    assert reader_of(FORMATS / name) is LOGS[name].module


@pytest.mark.parametrize("name", LOGS)
def test_a_folder_with_a_log_says_what_the_log_says(tmp_path: Path, name: str) -> None:
    given = Path(name).name
    path = tmp_path / (given if role_of(given) else LOGS[name].example.replace("*", "run"))
    path.write_bytes((FORMATS / name).read_bytes())
    assert points(read_runs(tmp_path)) == points(read_file(path)) != []


@pytest.mark.parametrize("name", LOGS)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_log_gives_sound_runs_or_one_line(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    """Cut anywhere, with bits turned over: series stay in order, errors are one line."""
    content = bytearray((FORMATS / name).read_bytes()[: data.draw(st.integers(0, 1 << 16))])
    for place in data.draw(st.lists(st.integers(0, max(0, len(content) - 1)), max_size=5)):
        content[place : place + 1] = bytes([content[place] ^ 4] if content else [])
    runs_or_error(tmp_path, Path(name).name, bytes(content))
