"""TensorBoard event files that grow, written by TensorBoard's own writer."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorboard")
pytest.importorskip("torch")

from torch.utils.tensorboard import SummaryWriter

from advisor.pipeline import Request, check_paths
from advisor.rulebook.load import load_rules
from advisor.watch import Watcher
from tests.watch.following import News, rows

pytestmark = pytest.mark.slow  # torch alone takes seconds to import
RULES = load_rules()


def write(writer: SummaryWriter, entries: list[News]) -> None:
    for row in entries:
        writer.add_scalar("train/loss", row["loss"], row["step"])
        writer.add_scalar("train/learning_rate", row["learning_rate"], row["step"])
    writer.flush()


def test_a_growing_event_file_is_one_run_with_the_findings_of_check(tmp_path: Path) -> None:
    watching = Watcher([tmp_path], RULES, Request())
    writer = SummaryWriter(str(tmp_path))
    kinds = []
    for start in range(1, 91, 10):
        write(writer, rows(start, 10))
        kinds += [n.kind for n in watching.look(at_all=True) if n.change is None]
    write(writer, rows(91, 5, "nan"))
    told = [n.change.finding.code for n in watching.look(at_all=True) if n.change is not None]
    writer.close()
    watching.close(over=False)
    assert kinds == ["begun"]
    assert "NUM001" in told
    (wanted,), _ = check_paths([tmp_path], RULES, Request())
    (report,) = watching.reports
    assert {f.code for f in report.findings} == {f.code for f in wanted.findings}
    assert len(report.run.series["train/loss"]) == 95


def test_a_resumed_run_goes_on_in_a_second_event_file(tmp_path: Path) -> None:
    watching = Watcher([tmp_path], RULES, Request())
    kinds = []
    for start in (1, 51):
        writer = SummaryWriter(str(tmp_path), filename_suffix=f".{start}")
        write(writer, rows(start, 50))
        writer.close()
        kinds += [n.kind for n in watching.look(at_all=True) if n.change is None]
    assert kinds == ["begun"]
    (report,) = watching.reports
    assert len(report.run.series["train/loss"]) == 100


def test_a_record_that_is_half_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    source = tmp_path / "source"
    writer = SummaryWriter(str(source))
    write(writer, rows(1, 60))
    writer.close()
    (whole,) = source.iterdir()
    data = whole.read_bytes()
    log = tmp_path / "run" / whole.name
    log.parent.mkdir()
    watching = Watcher([log], RULES, Request())
    failed = []
    for end in range(0, len(data) + 1, 97):
        log.write_bytes(data[:end])
        failed += [n.text for n in watching.look(at_all=True) if n.kind == "failed" and end > 500]
    log.write_bytes(data)
    watching.close(over=True)
    assert not failed
    (report,) = watching.reports
    assert len(report.run.series["train/loss"]) == 60
