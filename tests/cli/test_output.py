"""Output through the real command: widths, many runs, nothing forged, no secrets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.program import DEMO, advise

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
HEX = "0123456789abcdef0123456789abcdef01234567"


def write_log(place: Path, last: float | None = None) -> Path:
    place.mkdir(parents=True)
    losses = [3 - i / 40 for i in range(60)]
    if last is not None:
        losses[40:] = [last] * 20
    rows = [{"step": i, "loss": loss} for i, loss in enumerate(losses)]
    (place / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_text_fits_the_width_and_ends_without_spaces(width: int) -> None:
    done = advise("check", DEMO, "-v", cwd=DEMO.parent, env={"COLUMNS": str(width)})
    whole = ("presets/demo/", "    +", "    -", "     ")  # paths and diffs are copied
    for line in done.stdout.splitlines():
        assert len(line) <= width or line.startswith(whole) or "/" in line, line
        assert line == line.rstrip() or line.startswith("    "), repr(line)
    assert done.stdout.count("step 0") + done.stdout.count("step 10") >= 3


def test_many_runs_end_in_a_line_a_run(tmp_path: Path) -> None:
    for i in range(6):
        write_log(tmp_path / f"run-{i}", float("nan") if i == 2 else None)
    lines = advise("check", "run-0", cwd=tmp_path).stdout.splitlines()
    assert sum("run-0/train.jsonl" in line for line in lines) == 1
    tail = advise("check", tmp_path, cwd=tmp_path).stdout.splitlines()[-8:]
    assert [line.split()[-1].split("/")[-2] for line in tail[:6]] == [f"run-{i}" for i in range(6)]
    assert tail[2].startswith("failing") and "NUM001" in tail[2]
    assert tail[-1].startswith("6 runs: 1 error")


def test_a_file_name_cannot_pass_for_a_line_of_ours(tmp_path: Path) -> None:
    write_log(tmp_path / "x\n::error file=y::forged\x1b[31m\u202e", float("nan"))
    for form in ("text", "github"):
        done = advise("check", tmp_path, "--format", form)
        assert done.returncode == 1 and "NUM001" in done.stdout
        assert not any(c in done.stdout for c in "\x1b\u202e")
        assert not any(line.startswith("::error file=y") for line in done.stdout.splitlines())


def test_a_config_value_cannot_colour_or_break_the_plan(tmp_path: Path) -> None:
    run = write_log(tmp_path / "run", float("nan"))
    text = json.dumps({"learning_rate": 1e-4, "fp16": True, "bf16": "\x1b[31mno\nforged"})
    (run / "training_args.json").write_text(text)
    done = advise("check", run, "-v")
    assert done.returncode == 1 and "\x1b" not in done.stdout
    assert "forged" not in [line.strip() for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "words",
    [("check",), ("check", "-v"), ("check", "--format", "json"), ("check", "--format", "github"),
     ("check", "--unsafe-fixes", "--format", "json"), ("fix", "--diff"), ("fix",)],
)  # fmt: skip
def test_secrets_of_config_and_log_are_in_no_output(tmp_path: Path, words: tuple[str, ...]) -> None:
    run = write_log(tmp_path / "run", float("nan"))
    (run / "training_args.yaml").write_text(
        f"fp16: true\nnum_train_epochs: 3\nhub_token: {TOKEN}\nwandb_api_key: {HEX}\n"
        "learning_rate: 2.0e-4\n"
    )
    (run / "train.err").write_text(f"RuntimeError: out of memory, token={TOKEN} api_key={HEX}\n")
    done = advise(words[0], run, *words[1:])
    assert "fp16" in done.stdout or "github" in words
    assert TOKEN not in done.stdout + done.stderr and HEX not in done.stdout + done.stderr


def test_the_file_that_is_written_keeps_what_printing_hides(tmp_path: Path) -> None:
    run = write_log(tmp_path / "run", float("nan"))
    config = f"num_train_epochs: 3\nfp16: true\nhub_token: {TOKEN}\n"
    (run / "training_args.yaml").write_text(config)
    assert advise("fix", run).returncode == 0
    assert TOKEN in (run / "training_args.next.yaml").read_text()


def test_errors_hide_secrets_and_control_characters(tmp_path: Path) -> None:
    shutil.copytree(DEMO / "overfits", tmp_path / "run")
    done = advise("check", tmp_path / "run", "--set", f"hub_token={TOKEN}\x1b[31m")
    assert done.returncode == 2 and TOKEN not in done.stderr and "\x1b" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_that_is_not_utf_8_gets_escapes_and_no_plot(
    tmp_path: Path, encoding: str
) -> None:
    run = write_log(tmp_path / "日本", float("nan"))
    env = {"PYTHONIOENCODING": encoding}
    for words in (("check", run), ("compare", run, DEMO / "overfits"), ("explain", "LR004")):
        done = advise(*words, env=env)
        assert done.returncode in (0, 1), done.stderr
        assert words[0] == "explain" or "u65e5" in done.stdout
        assert "\\u28" not in done.stdout


def test_json_is_utf_8_whatever_the_terminal_speaks(tmp_path: Path) -> None:
    run = write_log(tmp_path / "日本\U0001f600", float("nan"))
    done = advise("check", run, "--format", "json", env={"PYTHONIOENCODING": "ascii"})
    assert json.loads(done.stdout)["runs"][0]["path"] == str(run / "train.jsonl")
