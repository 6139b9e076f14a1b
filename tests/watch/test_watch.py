"""`advise watch`: real logs that grow under the real command."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path

import pytest

from advisor.rulebook.load import load_rules
from tests.cli.program import advise, asked
from tests.watch.following import append, rows, state, watching

AT_THE_END = {rule.code for rule in load_rules() if rule.live >= 1}


def codes_of_check(*paths: Path) -> dict[str, set[str]]:
    _, found = asked(*paths, "--fail-on", "never")
    return {run["path"]: {f["code"] for f in run["findings"]} for run in found["runs"]}


def test_a_finding_is_raised_while_the_log_grows(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60))
    with watching(log) as seen:
        seen.until_kind("begun")
        append(log, rows(61, 5, "nan"))
        found = seen.until_kind("raised", "NUM001")
        assert (found["severity"], found["path"]) == ("error", str(log))
        assert found["evidence"]
        assert seen.stop() == 1


@pytest.mark.slow
def test_a_healthy_log_that_grows_raises_nothing_above_a_remark(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60))
    with watching(log) as seen:
        seen.until_kind("begun")
        for start in range(61, 101, 8):
            append(log, rows(start, 8))
        seen.stop()
        assert not [n for n in seen.news if n.get("severity") in ("warning", "error")]


@pytest.mark.slow
def test_what_stands_at_the_end_is_what_check_finds(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 20))
    with watching(log) as seen:
        seen.until_kind("begun")
        for start in range(21, 121, 20):
            append(log, rows(start, 20))
        append(log, rows(121, 30, "nan"))
        seen.until_kind("raised", "NUM001")
        seen.stop()
        assert seen.standing()[str(log)] == codes_of_check(log)[str(log)] - AT_THE_END
        report = seen.news[-1]
        assert report["kind"] == "report"
        assert {f["code"] for f in report["findings"]} == codes_of_check(log)[str(log)]


@pytest.mark.slow
def test_what_only_the_end_can_tell_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    state(path, rows(1, 40), planned=60)  # no validation so far: it may be yet to come
    with watching(path) as seen:
        seen.until_kind("begun")
        state(path, rows(1, 60), planned=60)
        seen.rest()
        told = [n["kind"] for n in seen.news if n.get("code", "EP006") == "EP006"]
        assert told[0] == "begun"
        last = next(n for n in seen.news if n.get("code") == "EP006")
        assert last["step"] == 60


@pytest.mark.slow
def test_a_finding_that_no_longer_holds_is_withdrawn(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    state(path, rows(1, 60) + rows(61, 5, "nan"))
    with watching(path) as seen:
        seen.until_kind("raised", "NUM001")
        state(path, rows(1, 40))
        state(path, rows(1, 400))  # resumed from a checkpoint before the fault, to its end
        seen.until_kind("withdrawn", "NUM001")


@pytest.mark.slow
def test_a_run_that_states_its_end_ends_the_watch(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    state(path, rows(1, 50), planned=100)
    with watching(path) as seen:
        seen.until_kind("begun")
        state(path, rows(1, 100), planned=100)
        assert seen.rest() == 0
        assert [n["kind"] for n in seen.news[-2:]] == ["ended", "report"]
        assert seen.news[-1]["points"]["train/loss"] == 100


@pytest.mark.slow
def test_a_log_that_is_rotated_away_goes_on_as_one_run(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 80))
    with watching(log) as seen:
        seen.until_kind("begun")
        log.rename(tmp_path / "train.jsonl.1")
        append(log, rows(81, 40) + rows(121, 3, "nan"))
        seen.until_kind("continued")
        seen.until_kind("raised", "NUM001")
        seen.stop()
        report = seen.news[-1]
        assert report["points"]["train/loss"] == 123
    whole = tmp_path / "whole" / "train.jsonl"
    whole.parent.mkdir()
    append(whole, rows(1, 120) + rows(121, 3, "nan"))
    assert {f["code"] for f in report["findings"]} == codes_of_check(whole)[str(whole)]


@pytest.mark.slow
def test_the_rotated_part_is_no_run_of_its_own_in_a_folder(tmp_path: Path) -> None:
    log = tmp_path / "run" / "train.jsonl"
    log.parent.mkdir()
    append(log, rows(1, 80))
    with watching(tmp_path / "run") as seen:
        seen.until_kind("begun")
        log.rename(log.with_name("train.jsonl.1"))
        append(log, rows(81, 40))
        seen.until_kind("continued")
        seen.stop()
        assert [n["kind"] for n in seen.news].count("begun") == 1


@pytest.mark.slow
def test_a_log_that_is_cut_and_begun_anew_is_a_new_run(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 80) + rows(81, 3, "nan"))
    with watching(log) as seen:
        seen.until_kind("raised", "NUM001")
        log.write_text("")
        append(log, [{**row, "loss": row["loss"] + 0.5} for row in rows(1, 100)])
        seen.until_kind("restarted")
        seen.until_kind("withdrawn", "NUM001")
        assert seen.stop() == 0


@pytest.mark.slow
def test_a_run_that_starts_later_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "later" / "train.jsonl"
    with watching(log) as seen:
        assert seen.until_kind("waiting")["path"] == str(log)
        log.parent.mkdir()
        log.touch()
        append(log, rows(1, 100))
        seen.until_kind("begun")
        assert seen.stop() == 0


@pytest.mark.slow
def test_two_runs_of_a_pattern_are_told_apart(tmp_path: Path) -> None:
    with watching(tmp_path / "*" / "train.jsonl") as seen:
        seen.until_kind("waiting")
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            append(tmp_path / name / "train.jsonl", rows(1, 60))
            seen.until_kind("begun")
        append(tmp_path / "two" / "train.jsonl", rows(61, 5, "nan"))
        found = seen.until_kind("raised", "NUM001")
        assert found["path"] == str(tmp_path / "two" / "train.jsonl")
        seen.stop()
        assert "NUM001" not in seen.standing().get(str(tmp_path / "one" / "train.jsonl"), set())


@pytest.mark.slow
def test_a_run_that_appears_in_a_watched_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    append(tmp_path / "one" / "train.jsonl", rows(1, 60))
    with watching(tmp_path) as seen:
        seen.until_kind("begun")
        (tmp_path / "two").mkdir()
        append(tmp_path / "two" / "train.csv", [])
        (tmp_path / "two" / "train.csv").write_text(
            "step,loss\n" + "".join(f"{r['step']},{r['loss']}\n" for r in rows(1, 60))
        )
        assert seen.until_kind("begun")["format"] == "csv"
        seen.stop()


@pytest.mark.slow
def test_a_console_log_is_followed_too(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    lines = [f"step {r['step']} | loss {r['loss']:.4f} | lr 1e-4\n" for r in rows(1, 100)]
    log.write_text("".join(lines[:50]))
    with watching(log) as seen:
        seen.until_kind("begun")
        with log.open("a") as file:
            file.writelines(lines[50:])
            file.write("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n")
        seen.until_kind("raised", "MEM001")


def test_it_ends_when_nothing_grows_any_more(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 100))
    with watching(log, "--idle", "0.5") as seen:
        assert seen.rest() == 0
        assert seen.news[-1]["kind"] == "report"


def test_a_job_that_is_ended_by_its_scheduler_still_gives_the_end(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60) + rows(61, 3, "nan"))
    with watching(log) as seen:
        seen.until_kind("raised", "NUM001")
        assert seen.stop(signal.SIGTERM) == 1
        assert seen.news[-1]["kind"] == "report"


def test_once_prints_what_check_prints(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60) + rows(61, 3, "nan"))
    looked, checked = advise("watch", "--once", log), advise("check", log)
    assert looked.stdout == checked.stdout
    assert looked.returncode == checked.returncode == 1


@pytest.mark.slow
def test_plain_lines_come_where_nobody_looks_at_a_terminal(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60) + rows(61, 3, "nan"))
    done = advise("watch", log, "--idle", "0", "--interval", "0.1")
    raised = [line for line in done.stdout.splitlines() if "raised error NUM001" in line]
    assert len(raised) == 1
    assert " Do: " in raised[0]


def test_a_command_gets_each_finding_that_is_raised(tmp_path: Path) -> None:
    log, out = tmp_path / "train.jsonl", tmp_path / "got.jsonl"
    append(log, rows(1, 60) + rows(61, 3, "nan"))
    write = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))"
    command = shlex.join([sys.executable, "-c", write, str(out)])
    done = advise("watch", "--once", log, "--on-finding", command)
    assert done.returncode == 1
    got = [json.loads(line) for line in out.read_text().splitlines()]
    assert {item["code"] for item in got} == codes_of_check(log)[str(log)]
    assert all(item["kind"] == "raised" and item["path"] == str(log) for item in got)


@pytest.mark.slow
def test_a_command_that_fails_is_told_once_and_stops_nothing(tmp_path: Path) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60) + rows(61, 3, "nan"))
    command = shlex.join([sys.executable, "-c", "raise SystemExit('no such channel')"])
    done = advise("watch", "--once", log, "--on-finding", command)
    assert done.returncode == 1
    assert done.stderr.count("--on-finding") == 1
    assert "exit status 1: no such channel" in done.stderr


@pytest.mark.slow
def test_the_words_of_a_command_reach_no_shell(tmp_path: Path) -> None:
    log, out = tmp_path / "train.jsonl", tmp_path / "words"
    append(log, rows(1, 60) + rows(61, 3, "nan"))
    write = "import sys; open(sys.argv[1], 'w').write(repr(sys.argv[2:]))"
    command = shlex.join([sys.executable, "-c", write, str(out)]) + " '$HOME; ls' \"a b\""
    advise("watch", "--once", log, "--select", "NUM001", "--on-finding", command)
    assert out.read_text() == repr(["$HOME; ls", "a b"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--interval", "0"), "--interval 0: give seconds"),
        (("--idle", "-1"), "--idle -1: give seconds"),
        (("--on-finding", ""), "the command is empty"),
        (("--on-finding", "no-such-program x"), "no such program"),
        (("--on-finding", "'open"), "quote it"),
        (("--select", "XYZ999"), "no rule or symptom"),
        (("--fail-on", "loud"), "give one of"),
        (("--set", "nonsense"), "give NAME=VALUE"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    log = tmp_path / "train.jsonl"
    append(log, rows(1, 60))
    done = advise("watch", log, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr


@pytest.mark.slow
def test_a_file_that_is_no_log_is_said_to_be_none(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("buy milk\n" * 20)
    with watching(other) as seen:
        assert "not a log" in seen.until_kind("failed")["message"]
        assert seen.stop() == 2


@pytest.mark.slow
def test_one_look_at_a_path_that_is_not_there_fails(tmp_path: Path) -> None:
    done = advise("watch", "--once", tmp_path / "nothing")
    assert done.returncode == 2
    assert "no such file" in done.stdout
