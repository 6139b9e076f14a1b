"""`advise check` through the real command: contract, exit status, settings, baseline."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.program import DEMO, advise, asked

SEVERITIES = {"error", "warning", "info"}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    place = tmp_path / "runs"
    shutil.copytree(DEMO, place)
    return place


def test_the_contract_holds_for_every_run_of_the_demo(runs: Path) -> None:
    status, whole = asked(runs)
    assert status == 1 and whole["schema"] == 1 and whole["errors"] == []
    assert {Path(r["path"]).parent.name: r["status"] for r in whole["runs"]} == {
        "healthy": "ok", "hidden-nan": "failing", "out-of-memory": "failing",
        "overfits": "failing", "rate-too-high": "warning",
    }  # fmt: skip
    for run in whole["runs"]:
        assert run["format"] and run["dialect"] and run["points"]["train/loss"] >= 60
        assert set(run["checks"]) == {"ran", "not_judged"} and run["checks"]["ran"]
        assert all(n["why"] for n in run["checks"]["not_judged"])
        for finding in run["findings"]:
            assert finding["severity"] in SEVERITIES and 0 < finding["confidence"] <= 1
            assert finding["confidence_from"] in ("rule", "calibration") and finding["message"]


def test_a_sick_run_gets_evidence_causes_and_a_diff_of_its_own_config(runs: Path) -> None:
    _, whole = asked(runs / "rate-too-high")
    (run,) = whole["runs"]
    finding = run["findings"][0]
    assert (finding["code"], finding["symptom"]) == ("LR004", "spikes")
    assert finding["evidence"][0]["step"] == 78 and finding["causes"][0]["cause"] == "lr_too_high"
    assert "lr-4" in finding["guide"]
    edit = run["plan"]["edits"][0]
    assert edit["key"] == "optimizer.lr" and edit["to"] < edit["from"] == 2e-3
    assert (
        "--- a/config.yaml" in run["plan"]["diff"] and "--optimizer.lr" in run["plan"]["overrides"]
    )


def test_a_healthy_run_exits_0_and_says_nothing_above_info(runs: Path) -> None:
    status, whole = asked(runs / "healthy")
    assert status == 0
    assert {f["severity"] for f in whole["runs"][0]["findings"]} <= {"info"}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((), 1),
        (("--exit-zero",), 0),
        (("--fail-on", "error"), 0),
        (("--fail-on", "never"), 0),
        (("--ignore", "LR004"), 0),
        (("--ignore", "spikes"), 0),
        (("--select", "EP,NUM"), 0),
        (("--severity", "error"), 0),
        (("--fail-on", "bad"), 2),
        (("--set", "no.such.key=1"), 2),
        (("--steps", "9:1"), 2),
        (("--map", "train/loss"), 2),
        (("--config", "absent.yaml"), 2),
        (("--format", "xml"), 2),
        (("--rules", "absent"), 2),
        (("--baseline", "absent"), 2),
    ],
)
def test_the_exit_status_follows_the_options(
    runs: Path, words: tuple[str, ...], status: int
) -> None:
    done = advise("check", runs / "rate-too-high", *words, cwd=runs)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    if status == 2:
        assert len((done.stderr + done.stdout).strip().splitlines()) <= 4


def test_a_path_alone_is_a_check(runs: Path) -> None:
    assert advise(runs / "healthy").returncode == 0
    assert "LR004" in advise(runs / "rate-too-high").stdout


def test_what_cannot_be_read_is_one_line_and_status_2_beside_what_can(runs: Path) -> None:
    done = advise("check", runs / "healthy", runs / "absent")
    assert done.returncode == 2 and "absent: no such file" in done.stdout
    status, whole = asked(runs / "rate-too-high", runs / "absent")
    assert status == 1 and len(whole["runs"]) == len(whole["errors"]) == 1


def test_json_is_printed_even_where_the_command_line_is_wrong(runs: Path) -> None:
    status, whole = asked(runs / "healthy", "--severity", "loud")
    assert (
        status == 2 and whole["runs"] == [] and "--severity loud" in whole["errors"][0]["message"]
    )


def test_github_output_annotates_with_escaped_text(runs: Path) -> None:
    done = advise("check", runs / "rate-too-high", "--format", "github")
    first = done.stdout.splitlines()[0]
    assert first.startswith("::warning file=") and "title=LR004 loss-spikes::" in first
    assert "%25" in first  # '244% of the level before'


def test_settings_come_from_the_nearest_file_and_the_command_line_wins(runs: Path) -> None:
    (runs / "advise.toml").write_text('ignore = ["LR004"]\n[set]\n"data.samples" = 8000\n')
    assert advise("check", "rate-too-high", cwd=runs).returncode == 0
    (runs / "advise.toml").write_text('fail-on = "error"\n')
    assert advise("check", "rate-too-high", cwd=runs).returncode == 0
    assert advise("check", "rate-too-high", "--fail-on", "warning", cwd=runs).returncode == 1
    (runs / "advise.toml").write_text('[per-path-ignores]\n"rate-*" = ["LR"]\n')
    assert advise("check", "rate-too-high", cwd=runs).returncode == 0
    assert advise("check", "overfits", cwd=runs).returncode == 1
    (runs / "advise.toml").unlink()
    (runs / "pyproject.toml").write_text("[tool.advise]\nexit-zero = true\n")
    assert advise("check", "overfits", cwd=runs).returncode == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('ignor = ["A"]\n', "did you mean 'ignore'"),
        ("ignore = 3\n", "'ignore' is 3"),
        ("exit-zero = 1\n", "expected true or false"),
        ("set = 1\n", "expected a table"),
        ("= broken\n", "not TOML"),
    ],
)
def test_faulty_settings_are_one_clear_line(runs: Path, text: str, said: str) -> None:
    (runs / "advise.toml").write_text(text)
    done = advise("check", "healthy", cwd=runs)
    assert done.returncode == 2 and said in done.stderr and "advise.toml" in done.stderr


def test_a_baseline_accepts_what_stands_and_nothing_else(runs: Path) -> None:
    accepted = runs / "accepted.json"
    assert advise("check", runs / "rate-too-high", "--write-baseline", accepted).returncode == 1
    done = advise("check", runs / "rate-too-high", "--baseline", accepted)
    assert done.returncode == 0 and "LR004" not in done.stdout
    assert advise("check", runs / "overfits", "--baseline", accepted).returncode == 1
    accepted.write_text("{}")
    assert advise("check", runs / "overfits", "--baseline", accepted).returncode == 2


def test_fix_writes_safe_edits_only_unless_asked_for_more(runs: Path) -> None:
    place = runs / "hidden-nan"
    before = (place / "training_args.yaml").read_text()
    status, whole = asked(place, "--fix")
    copy = place / "training_args.next.yaml"
    assert status == 1 and whole["runs"][0]["fix"]["path"] == str(copy)
    assert "logging_nan_inf_filter: false" in copy.read_text() and "fp16: true" in copy.read_text()
    assert (place / "training_args.yaml").read_text() == before
    copy.unlink()
    asked(place, "--unsafe-fixes")
    assert "fp16: false" in copy.read_text()


def test_one_output_file_cannot_take_two_runs(runs: Path) -> None:
    done = advise("check", runs, "--unsafe-fixes", "-o", runs / "x.yaml")
    assert done.returncode == 2 and "check one run" in done.stderr
    assert not (runs / "x.yaml").exists()


def test_steps_judges_a_part_of_the_run(runs: Path) -> None:
    assert advise("check", runs / "rate-too-high", "--steps", ":70").returncode == 0


def test_columns_that_cannot_be_guessed_are_named(tmp_path: Path) -> None:
    rows = "".join(f'{{"iter": {i}, "zz": {2.5 + 0.2 * (i % 2)}}}\n' for i in range(60))
    (tmp_path / "run.jsonl").write_text(rows)
    assert advise("check", tmp_path / "run.jsonl").returncode == 2
    _, whole = asked(tmp_path / "run.jsonl", "--map", "train/loss=zz")
    assert whole["runs"][0]["points"]["train/loss"] == 60


@pytest.mark.parametrize("named", [["train/loss=loss"], ["train/loss=loss", "eval/loss=val_loss"]])
def test_a_named_column_need_not_stand_in_every_file_of_a_run(runs: Path, named: list[str]) -> None:
    words = [word for name in named for word in ("--map", name)]
    status, whole = asked(runs / "healthy", *words)
    assert status == 0 and whole["errors"] == []
    assert whole["runs"][0]["points"]["eval/loss"] == 10
    status, whole = asked(runs / "healthy", "--map", "train/loss=absent")
    assert status == 2 and whole["runs"] == []


@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_a_code_that_means_no_rule_is_refused_with_the_nearest(runs: Path, option: str) -> None:
    for command in ("check", "fix"):
        done = advise(command, runs / "overfits", option, "EP04")
        assert done.returncode == 2 and f"{option} EP04" in done.stderr
        assert "did you mean EP004" in done.stderr
    (runs / "advise.toml").write_text('[per-path-ignores]\n"x" = ["NOPE9"]\n')
    assert "NOPE9" in advise("check", "overfits", cwd=runs).stderr


def test_a_fault_of_one_run_leaves_the_reports_of_the_others(runs: Path) -> None:
    (runs / "healthy" / "config.yaml").write_text("step_scheduler: [1\n")
    status, whole = asked(runs, "--set", "peft.dim=8")
    assert status == 1 and len(whole["runs"]) == 5
    status, whole = asked(runs, "--set", "peft.dim=many")
    assert status == 2 and len(whole["errors"]) == 1


def test_control_characters_and_markup_of_a_log_reach_no_terminal(tmp_path: Path) -> None:
    log = tmp_path / "\x1b[31m[bold]evil"
    log.mkdir()
    lines = "".join(f"step {i} | loss {3 - i / 50} | lr 1e-4\n" for i in range(40))
    (log / "train.log").write_text(
        lines + "RuntimeError: \x1b]0;owned\x07 [red]x[/red] out of memory\n"
    )
    done = advise("check", log)
    assert "\x1b" not in done.stdout + done.stderr and "[bold]evil" in done.stdout


def test_a_log_without_findings_that_was_not_judged_is_not_ok(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.9}\n')
    status, whole = asked(tmp_path / "run.jsonl")
    assert whole["runs"][0]["status"] == "unknown" and status == 2
    shown = advise("check", tmp_path / "run.jsonl").stdout
    assert "cannot be judged: only 2 finite points of train/loss" in shown
    assert "1 not judged" in shown.splitlines()[-1]
    noted = advise("check", tmp_path / "run.jsonl", "--format", "github").stdout
    assert noted.startswith("::warning file=") and "cannot be judged" in noted
