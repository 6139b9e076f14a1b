"""The Watcher, look by look: what becomes of a run's name, and what a look costs."""

from __future__ import annotations

from pathlib import Path

from advisor.pipeline import Request
from advisor.rulebook.load import load_rules
from advisor.watch import News, Watcher
from tests.watch.following import News as Row
from tests.watch.following import append, rows, state

RULES = load_rules()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.1  # so much passes between two looks at it
        return self.now


def watcher(*paths: Path, clock: Clock | None = None) -> Watcher:
    return Watcher(paths, RULES, Request(), clock or Clock())


def kinds(news: list[News]) -> list[str]:
    return [item.kind for item in news if item.change is None]


def test_a_state_that_moves_from_checkpoint_to_checkpoint_is_one_run(tmp_path: Path) -> None:
    clock = Clock()
    watching = watcher(tmp_path, clock=clock)
    told = []
    for count in (20, 60, 100):
        state(tmp_path / f"checkpoint-{count}" / "trainer_state.json", rows(1, count), planned=100)
        told += kinds(watching.look(at_all=True))
    clock.now += 60
    assert told == ["begun", "ended"]
    assert watching.over


def test_a_console_log_becomes_the_run_of_the_state_beside_it(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("".join(f"step {r['step']} | loss {r['loss']:.4f}\n" for r in rows(1, 40)))
    watching = watcher(tmp_path)
    told = kinds(watching.look())
    state(tmp_path / "trainer_state.json", rows(1, 40))
    told += kinds(watching.look(at_all=True))
    assert told == ["begun"]
    assert [run.path.name for run in watching.runs.values()] == ["trainer_state.json"]


def test_a_log_that_is_deleted_keeps_its_report(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60) + rows(61, 3, "nan"))
    watching = watcher(tmp_path / "*.jsonl")
    watching.look()
    log.unlink()
    watching.look(at_all=True)
    assert [report.status for report in watching.reports] == ["failing"]


def test_a_failure_is_told_when_it_stands_at_a_second_look(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    log.touch()
    watching = watcher(log)
    assert kinds(watching.look(at_all=True)) == []
    assert kinds(watching.look(at_all=True)) == ["failed"]
    assert kinds(watching.look(at_all=True)) == []
    append(log, rows(1, 60))
    assert kinds(watching.look(at_all=True)) == ["begun"]
    assert not watching.failures


def test_a_half_written_state_takes_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    state(path, rows(1, 60) + rows(61, 3, "nan"))
    watching = watcher(path)
    watching.look()
    whole = path.read_text()
    path.write_text(whole[:20])
    news = watching.look(at_all=True)
    path.write_text(whole)
    news += watching.look(at_all=True)
    assert news == []


def test_a_log_is_read_again_only_after_a_wait_that_its_cost_asks_for(tmp_path: Path) -> None:
    log, clock = tmp_path / "train.jsonl", Clock()
    append(log, rows(1, 60))
    watching = watcher(log, clock=clock)
    watching.look()  # costs some tenths of a second
    append(log, rows(61, 40))
    (run,) = watching.runs.values()
    watching.look()
    assert len(run.run.series["train/loss"]) == 60
    clock.now += 60
    watching.look()
    assert len(run.run.series["train/loss"]) == 100


def test_a_log_that_is_only_touched_is_not_judged_again(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60))
    watching = watcher(log)
    watching.look()
    (run,) = watching.runs.values()
    report = run.report
    log.touch()
    watching.look(at_all=True)
    assert run.report is report


def test_a_folder_of_runs_is_never_over(tmp_path: Path) -> None:
    for name in ("one", "two"):
        state(tmp_path / name / "trainer_state.json", rows(1, 60), planned=60)
    watching = watcher(tmp_path)
    watching.look()
    assert all(run.over for run in watching.runs.values())
    assert not watching.over


def test_a_run_that_goes_on_after_its_end_is_followed_on(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    state(path, rows(1, 60), planned=60)
    watching = watcher(path)
    told = kinds(watching.look())
    state(path, rows(1, 80), planned=120)
    told += kinds(watching.look(at_all=True))
    state(path, rows(1, 120), planned=120)
    told += kinds(watching.look(at_all=True))
    assert told == ["begun", "ended", "ended"]


def test_what_is_not_urgent_has_to_stand_before_it_is_told(tmp_path: Path) -> None:
    log, clock = tmp_path / "train.jsonl", Clock()
    flat = [{**row, "loss": 1.5, "learning_rate": 1e-4} for row in rows(41, 160)]
    noisy = [{**row, "loss": row["loss"] + old["loss"] - 1.2} for row, old in
             zip(flat, rows(401, 160), strict=True)]  # fmt: skip
    append(log, rows(1, 40))
    watching = watcher(log, clock=clock)
    watching.look()
    (run,) = watching.runs.values()
    told: list[str] = []
    for start in range(0, 160, 10):
        append(log, noisy[start : start + 10])
        news = watching.look(at_all=True)
        told += [n.change.finding.code for n in news if n.change and n.kind == "raised"]
        if run.tracker.pending:
            break
    waiting = set(run.tracker.pending)
    assert waiting and not waiting & set(told)
    clock.now += 120  # the training hangs
    news = watching.look()
    assert waiting <= {n.change.finding.code for n in news if n.change and n.kind == "raised"}


def table(entries: list[Row], header: bool = True) -> str:
    names = ("step", "loss", "grad_norm", "learning_rate")
    lines = [",".join(str(row[name]) for name in names) for row in entries]
    return "\n".join([*([",".join(names)] if header else []), *lines, ""])


def printed(entries: list[Row], planned: int = 100) -> str:
    """As Trainer prints: a dictionary a log, its place known by the epoch alone."""
    return "".join(
        f"{{'loss': {row['loss']:.4f}, 'grad_norm': 0.8, 'epoch': {row['step'] / planned:.2f}}}\n"
        for row in entries
    )


def test_a_line_that_is_half_written_is_no_point_and_no_new_run(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    before, line = printed(rows(1, 59)), printed(rows(60, 1))
    log.write_text(before)
    watching = watcher(log)
    told = kinds(watching.look())
    (run,) = watching.runs.values()
    for end in range(len(line)):
        log.write_text(before + line[:end])
        told += kinds(watching.look(at_all=True))
        assert len(run.run.series["train/loss"]) == 59
    log.write_text(before + line)
    told += kinds(watching.look(at_all=True))
    assert len(run.run.series["train/loss"]) == 60
    assert told == ["begun"]


def test_a_last_line_without_an_end_counts_when_the_watch_ends(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text(table(rows(1, 60)).rstrip("\n"))
    watching = watcher(log)
    watching.look()
    (run,) = watching.runs.values()
    assert len(run.run.series["train/loss"]) == 59
    watching.close(over=True)
    assert len(run.run.series["train/loss"]) == 60


def test_a_table_whose_beginning_was_rotated_away_keeps_its_columns(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text(table(rows(1, 60)))
    watching = watcher(log)
    told = kinds(watching.look())
    log.write_text(table(rows(61, 40), header=False))  # copied away, cut, and written on
    told += kinds(watching.look(at_all=True))
    watching.close(over=True)
    (run,) = watching.runs.values()
    assert told == ["begun", "continued"]
    assert len(run.run.series["train/loss"]) == 100
    assert not watching.failures
