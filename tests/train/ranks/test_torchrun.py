"""Real runs of two processes under torchrun: what one process would give, and one that is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from advisor.base.trainer import command
from tests.precision import TRAINED32
from tests.train.runs.launch import environment, events, rows, run
from tests.train.runs.tiny import LORA, config_text, make_world

pytestmark = pytest.mark.slow
# 54 micro-batches an epoch, 27 a rank: the last window of an epoch is not full
STEPS = {"global_batch_size": 12, "local_batch_size": 3, "num_epochs": 2, "ckpt_every_steps": 5,
         "val_every_steps": 4}  # fmt: skip
WHOLE = 28


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.fixture(scope="module")
def alone(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    place = tmp_path_factory.mktemp("one")
    run(config(world, place), place / "run")
    return place / "run"


def config(world: Path, place: Path, **sections: Any) -> Path:
    place.mkdir(exist_ok=True)
    path = place / "c.yaml"
    adapter = {**LORA, "dropout": 0.0}  # each rank draws its own
    path.write_text(config_text(world, **{"peft": adapter, "step_scheduler": STEPS} | sections))
    return path


def start(*words: str) -> subprocess.Popen[str]:
    whole = command([*words, "--nproc-per-node", "2", "--nnodes", "1", "--master-port", "0",
                     "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"])  # fmt: skip
    return subprocess.Popen(
        whole, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def both(*words: str) -> tuple[int, str, str]:
    process = start(*words)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def losses(run_dir: Path, name: str, key: str) -> list[float]:
    return [row[key] for _, row in sorted(rows(run_dir, name).items())]


WHAT = (("training", "loss"), ("training", "grad_norm"), ("validation", "val_loss"))


def assert_same(one: Path, other: Path, what: Sequence[tuple[str, str]] = WHAT) -> None:
    for name, key in what:
        assert losses(other, name, key) == pytest.approx(losses(one, name, key), rel=TRAINED32), key
    counts = [[r[k] for r in rows(p).values()] for p in (one, other) for k in ("samples",)]
    assert counts[0] == counts[1]


def workers(process: subprocess.Popen[str], run_dir: Path, steps: int) -> Iterator[int]:
    """The processes of the ranks in their order, once the run has come to a step."""
    until = time.monotonic() + 120
    log = run_dir / "training.jsonl"
    while not log.exists() or log.read_bytes().count(b"\n") < steps:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in sorted(map(int, listed)):
        if b"RANK=" in Path(f"/proc/{pid}/environ").read_bytes():
            yield pid


def rank_of(pid: int) -> int:
    found = [x for x in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if x[:5] == b"RANK="]
    return int(found[0][5:])


def test_two_processes_train_as_one_and_the_first_alone_speaks(
    world: Path, alone: Path, tmp_path: Path
) -> None:
    path = config(world, tmp_path / "two")
    status, out, err = both(str(path), "--run-dir", str(tmp_path / "two" / "run"))
    assert status == 0, err[-2000:]
    assert_same(alone, tmp_path / "two" / "run")
    lines = (tmp_path / "two" / "run" / "training.jsonl").read_text().splitlines()
    assert len(lines) == WHOLE
    assert sum(line.startswith("step ") for line in out.splitlines()) == WHOLE
    assert err.count("train: run in") == 1
    runs = (alone, tmp_path / "two" / "run")
    names = [sorted(path.name for path in each.glob("epoch_*")) for each in runs]
    assert names[0] == names[1]
    (began,) = events(tmp_path / "two" / "run", "start")
    assert began["details"]["processes"] == 2


def test_a_rank_that_is_killed_ends_the_run_in_one_line_and_it_resumes(
    world: Path, alone: Path, tmp_path: Path
) -> None:
    place = tmp_path / "two" / "run"
    process = start(str(config(world, tmp_path / "two")), "--run-dir", str(place))
    second = next(pid for pid in workers(process, place, 7) if rank_of(pid) == 1)
    os.kill(second, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    said = [line for line in err.splitlines() if line.startswith("train: ") and "rank 1" in line]
    assert len(said) == 1 and "rank 1 is gone" in said[0] and "Traceback" not in err
    assert "rank 1 is gone" in events(place, "exception")[0]["text"]
    status, _, err = both("--resume", str(place))
    assert status == 0, err[-2000:]
    assert_same(alone, place)


def test_a_stop_is_taken_by_all_after_one_step_and_one_process_may_go_on(
    world: Path, alone: Path, tmp_path: Path
) -> None:
    place = tmp_path / "two" / "run"
    path = config(world, tmp_path / "two")
    process = start(str(path), "--run-dir", str(place))
    second = next(pid for pid in workers(process, place, 7) if rank_of(pid) == 1)
    os.kill(second, signal.SIGTERM)  # to one of them only
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, err[-2000:]
    assert "Traceback" not in err
    last = max(rows(place))
    assert last < WHOLE - 1 and (place / "LATEST").resolve().name.endswith(f"_step_{last}")
    run(path, place, resume="latest")
    assert_same(alone, place, WHAT[:2])  # a stop leaves out the evaluation that was due


def test_a_fault_of_one_rank_is_told_by_the_first(world: Path, tmp_path: Path) -> None:
    script = tmp_path / "rows.py"
    script.write_text(
        "import json, os\n"
        "def rows(path):\n"
        "    if os.environ['RANK'] == '1': raise OSError('no such disk')\n"
        "    return [json.loads(line) for line in open(path)]\n"
    )
    own = {"_target_": f"{script}:rows", "path": str(world / "train.jsonl")}
    path = config(world, tmp_path / "two", dataset=own, validation_dataset=None)
    place = tmp_path / "two" / "run"
    status, _, err = both(str(path), "--run-dir", str(place), "--allow-user-modules")
    assert status == 2
    said = [line for line in err.splitlines() if line.startswith("train: ") and "rank 1" in line]
    assert len(said) == 1 and "no such disk" in said[0]


def test_a_run_that_the_advisor_stops_ends_on_all_ranks(world: Path, tmp_path: Path) -> None:
    rate = {"_target_": "torch.optim.AdamW", "lr": 30.0}
    advice = {"policy": "stop", "stop_on": ["CFG036"]}
    path = config(world, tmp_path / "two", optimizer=rate, advisor=advice)
    place = tmp_path / "two" / "run"
    status, _, err = both(str(path), "--run-dir", str(place))
    assert status == 3, err[-2000:]
    assert json.loads((place / "LATEST" / "progress.json").read_text())["step"] >= 1


def test_processes_that_cannot_be_are_refused_in_one_line(world: Path, tmp_path: Path) -> None:
    path = config(world, tmp_path / "odd")
    words = ["--step_scheduler.global_batch_size", "9", "--run-dir", str(tmp_path / "odd" / "run")]
    status, _, err = both(str(path), *words)
    said = [line for line in err.splitlines() if line.startswith("train: ")]
    assert status == 2 and "not a multiple of local_batch_size x processes = 6" in said[-1]
    assert "Traceback" not in err
