"""A log that ends in a crash is told so, by kind and with the line; no other log is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from advisor.pipeline import Request, check_paths
from advisor.report.contract import report_of
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from tests.cli.program import advise, asked

SHARED = Path(__file__).resolve().parents[3] / "shared" / "field" / "faults" / "crashed-run-ok"
CRASHES = {f"CR{n:03}" for n in range(1, 11)} | {"MEM001", "MEM002", "MEM003"}


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return load_rules()


def loss(i: int) -> float:
    return 1.1 + 0.9 * 0.9**i + 0.002 * (i % 3)


def dicts(count: int = 40, first: int = 1) -> str:
    """Rows of Hugging Face's Trainer: a loss that has come to rest."""
    return "".join(
        f"{{'loss': {loss(i):.4f}, 'grad_norm': {1 + 0.1 * (i % 4):.2f}, "
        f"'learning_rate': 0.0001, 'epoch': {i / 10:.1f}}}\n"
        for i in range(first, first + count)
    )


def lightning(count: int = 40) -> str:
    return "".join(
        f"Epoch 0: {i}%|#  | {i * 10}/1000 [00:10<00:10, 9.1it/s, v_num=0, "
        f"train_loss={loss(i):.3f}]\n"
        for i in range(1, count + 1)
    )


def megatron(count: int = 40) -> str:
    return "".join(
        f" iteration {i * 10:8}/    4000 | consumed samples: {i * 80:12} | "
        f"learning rate: 1.0E-04 | "
        f"lm loss: {loss(i):.6E} | grad norm: {1 + 0.1 * (i % 4):.3f} |\n"
        for i in range(1, count + 1)
    )


def stepped(count: int = 40) -> str:
    return "".join(
        f"2026-03-01 10:{i:02}:00 | INFO | step {i * 10}/{count * 10} | "
        f"loss {loss(i):.4f} | lr 1.0e-04\n"
        for i in range(1, count + 1)
    )


def looked_at(folder: Path, rulebook: Rulebook) -> list[dict[str, Any]]:
    reports, failures = check_paths([folder], rulebook, Request())
    assert not failures
    return [report_of(report) for report in reports]


def one(folder: Path, text: str, rulebook: Rulebook, name: str = "train.log") -> dict[str, Any]:
    (folder / name).write_text(text)
    runs = looked_at(folder, rulebook)
    assert len(runs) == 1
    return runs[0]


def found(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f["code"]: f for f in run["findings"] if f["code"] in CRASHES}


TRACE = 'Traceback (most recent call last):\n  File "train.py", line 9, in <module>\n    main()\n'
ENDINGS = {
    # name: rows before, what follows, the code, the first cause, what is quoted
    "an exception of a collator": (
        dicts, TRACE + "ValueError: Unable to create tensor, activate truncation\n",
        "CR001", "shapes_differ", "Unable to create tensor",
    ),
    "an exception of a new version": (
        dicts, TRACE + "TypeError: f() got an unexpected keyword argument 'tokenizer'\n",
        "CR001", "code_error", "unexpected keyword",
    ),
    "an exception on the bar's line": (
        lambda: dicts() + " 40%|####      | 40/100 [01:00<01:30,  1.5s/it]",
        TRACE + "FileNotFoundError: [Errno 2] No such file or directory: 'data/7.arrow'\n",
        "CR001", "file_missing", "7.arrow",
    ),
    "a rank's exception, and what follows it": (
        megatron,
        "[rank3]: " + TRACE.replace("\n", "\n[rank3]: ", 2) + "[rank3]: KeyError: 'labels'\n"
        "W0301 torch/distributed/elastic/multiprocessing/api.py:897] Sending process 12 closing "
        "signal SIGTERM\n"
        "E0301 torch/distributed/elastic/multiprocessing/api.py:869] failed (exitcode: 1) "
        "local_rank: 3 (pid: 15) of binary: python\n" + TRACE
        + "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n",
        "CR001", "code_error", "KeyError: 'labels'",
    ),
    "a watchdog of NCCL": (
        stepped,
        "[rank1]:[E301 10:50:00.1 ProcessGroupNCCL.cpp:616] [Rank 1] Watchdog caught collective "
        "operation timeout: WorkNCCL(SeqNum=42, OpType=ALLREDUCE, Timeout(ms)=600000) ran for "
        "600029 milliseconds before timing out.\n",
        "CR002", "other_rank_failed", "Watchdog caught collective",
    ),
    "gloo without its peer": (
        lightning,
        TRACE + "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:598] Connection "
        "closed by peer [10.0.0.2]:1234\n",
        "CR002", "other_rank_failed", "Connection closed by peer",
    ),
    "a segmentation fault, told by the shell": (
        stepped, "./run.sh: line 7: 12345 Segmentation fault      (core dumped) python train.py\n",
        "CR003", "library_mismatch", "Segmentation fault",
    ),
    "an abort, told by torchrun": (
        megatron, "E0301 api.py:869] failed (exitcode: -6) local_rank: 0 (pid: 15) of binary: p\n",
        "CR003", "library_mismatch", "exitcode: -6",
    ),
    "a loader without shared memory": (
        dicts,
        TRACE + "RuntimeError: DataLoader worker (pid(s) 81) is killed by signal: Bus error. It is "
        "possible that dataloader's workers are out of shared memory.\n",
        "CR003", "shared_memory_full", "DataLoader worker",
    ),
    "a quota": (
        lightning, TRACE + "OSError: [Errno 122] Disk quota exceeded: 'ckpt/last.ckpt'\n",
        "CR004", "disk_full", "quota exceeded",
    ),
    "a checkpoint on a full disk": (
        dicts,
        TRACE + "RuntimeError: [enforce fail at inline_container.cc:595] . PytorchStreamWriter "
        "failed writing file data/17: file write failed\n",
        "CR004", "disk_full", "PytorchStreamWriter",
    ),
    "LSF's time": (
        stepped,
        "TERM_RUNLIMIT: job killed after reaching LSF run time limit.\nExited with exit code 140\n",
        "CR005", "time_limit", "TERM_RUNLIMIT",
    ),
    "PBS' time": (
        megatron, "=>> PBS: job killed: walltime 3612 exceeded limit 3600\nTerminated\n",
        "CR005", "time_limit", "walltime",
    ),
    "Kubernetes' time": (
        dicts,
        "job/train-0 failed: DeadlineExceeded: Job was active longer than specified deadline\n",
        "CR005", "time_limit", "DeadlineExceeded",
    ),
    "a preemption by slurm": (
        stepped,
        "slurmstepd: error: *** STEP 77.0 ON n4 CANCELLED AT 2026-03-01 DUE TO PREEMPTION ***\n"
        "srun: Job step aborted: Waiting up to 32 seconds for job step to finish.\n",
        "CR005", "preempted", "DUE TO PREEMPTION",
    ),
    "a terminal that was closed": (
        megatron,
        "W0301 torch/distributed/elastic/agent/server/api.py:719] Received Signals.SIGHUP death "
        "signal, shutting down workers\n",
        "CR005", "session_closed", "SIGHUP",
    ),
    "an assert on the device": (
        dicts,
        "../aten/src/ATen/native/cuda/Indexing.cu:1289: indexSelectLargeIndex: block: [1,0,0], "
        "thread: [32,0,0] Assertion `srcIndex < srcSelectDimSize` failed.\n" + TRACE
        + "RuntimeError: CUDA error: device-side assert triggered\nCompile with `DSA`\n",
        "CR006", "index_out_of_range", "Assertion",
    ),
    "a traceback with a brace alone on its line": (
        dicts, TRACE.replace("main()", "{") + "RuntimeError: CUDA error: illegal memory access\n",
        "CR007", "hardware", "illegal memory access",
    ),
    "an index on the CPU": (
        lightning, TRACE + "IndexError: index out of range in self\n",
        "CR006", "index_out_of_range", "index out of range in self",
    ),
    "a device off the bus": (
        stepped, TRACE + "RuntimeError: CUDA error: uncorrectable ECC error encountered\n",
        "CR007", "hardware", "uncorrectable ECC",
    ),
    "an end that only deepspeed tells": (
        dicts, "[2026-03-01 10:50:00,123] [ERROR] [launch.py:321:sigkill_handler] ['python', "
        "'train.py'] exits with return code = 1\n",
        "CR009", "other_rank_failed", "return code = 1",
    ),
    "the kernel's killer": (
        dicts, "[1201.4] Out of memory: Killed process 4711 (python) total-vm:9000kB\n",
        "MEM003", "host_memory_full", "Killed process",
    ),
    "a container's killer": (
        stepped, "pod train-0: reason: OOMKilled, exit code: 137\n",
        "MEM003", "host_memory_full", "OOMKilled",
    ),
    "memory of the device on one rank, a timeout on the other": (
        megatron,
        TRACE + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
        "[rank1]:[E301 ProcessGroupNCCL.cpp:616] [Rank 1] Watchdog caught collective operation "
        "timeout: WorkNCCL(SeqNum=42)\n",
        "MEM001", "sequence_too_long", "CUDA out of memory",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
def test_a_crash_is_an_error_that_quotes_its_line(
    name: str, tmp_path: Path, rulebook: Rulebook
) -> None:
    rows, end, code, cause, quote = ENDINGS[name]
    run = one(tmp_path, rows() + end, rulebook)
    codes = found(run)
    assert list(codes) == [code], codes
    assert run["status"] == "failing"
    finding = codes[code]
    assert finding["severity"] == "error"
    assert quote in finding["message"]
    assert finding["causes"][0]["cause"] == cause
    assert finding["do"]


BENIGN = {
    "an exception that was caught and trained on after": lambda: (
        dicts(20) + TRACE + "ValueError: sample 7 is damaged, left out\n" + dicts(20, 21)
    ),
    "a traceback of wandb's thread, and training on": lambda: (
        dicts(30) + "Exception in thread ChkStopThr:\n" + TRACE + "BrokenPipeError: [Errno 32]\n"
        + dicts(10, 31)
    ),
    "a thread's traceback at the end": lambda: (
        dicts() + "Exception in thread Thread-7:\n" + TRACE + "ConnectionError: no answer\n"
    ),
    "what an interpreter says on its way out": lambda: (
        dicts() + "Exception ignored in: <function Pool.__del__ at 0x7f>\n" + TRACE
        + "TypeError: 'NoneType' object is not callable\n"
    ),
    "an error of the log itself": lambda: (
        dicts() + "--- Logging error ---\n" + TRACE + "OSError: [Errno 5] Input/output error\n"
        + "Call stack:\n  File \"a.py\", line 1, in run\nMessage: 'x'\nArguments: ()\n"
    ),
    "a traceback within a sample that was printed": lambda: (
        dicts() + "Sample answer:\n```\n" + TRACE + "ValueError: no\n```\n"
    ),
    "a traceback quoted on one line": lambda: (
        dicts() + 'text: "My script says Traceback (most recent call last): what now?"\nDone\n'
    ),
    "an indented traceback of a prompt": lambda: (
        dicts() + "> " + TRACE.replace("\n", "\n> ") + "KeyError: 'a'\n"
    ),
    "warnings with the word error": lambda: (
        dicts() + "[W301 ProcessGroupNCCL.cpp:1250] Warning: WARNING: process group has NOT been "
        "destroyed before we destruct ProcessGroupNCCL.\nE0000 cuda_dnn.cc:8310] Unable to take "
        "cuDNN factory\nENV[TORCH_NCCL_ASYNC_ERROR_HANDLING] = 1 will be overridden to 3\n"
        "mean error: 0.1\n"
    ),
    "a monitor of the shell that was ended": lambda: (
        dicts() + "[1]+  Terminated              nvidia-smi dmon > gpu.txt\n"
    ),
    "a run that was resumed after its crash": lambda: (
        dicts(20) + TRACE + "RuntimeError: NCCL error: unhandled system error\n"
        + "Resuming training from checkpoint-20\n" + dicts(20, 21)
    ),
    "a killed attempt before the first metric": lambda: (
        "Killed\n***** Running training *****\n" + dicts()
    ),
    "a warning before the training ends": lambda: (
        dicts() + TRACE + "HTTPError: 503 Server Error\n"
        + "{'train_runtime': 100.0, 'train_loss': 1.2, 'epoch': 4.0}\n"
    ),
    "a bar that moves on": lambda: (
        dicts() + " 40%|####  | 40/100 [01:00<01:30, 1.5s/it]\n" + TRACE + "ValueError: caught\n"
        + "".join(f" {i}%|####  | {i}/100 [01:00<01:30, 1.5s/it]\n" for i in (41, 42, 43))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BENIGN)
def test_what_only_looks_like_a_crash_is_none(
    name: str, tmp_path: Path, rulebook: Rulebook
) -> None:
    run = one(tmp_path, BENIGN[name](), rulebook)
    assert not found(run), found(run)
    assert run["status"] != "failing"


BY_HAND = {
    "control and C": TRACE + "KeyboardInterrupt\n",
    "what breaks on the way out": TRACE
    + "KeyboardInterrupt\n"
    + TRACE
    + "BrokenPipeError: [Errno 32]\n",
    "Lightning's word": "Detected KeyboardInterrupt, attempting graceful shutdown ...\n",
    "scancel": "slurmstepd: error: *** JOB 7 ON n1 CANCELLED AT 2026-03-01T10:00:00 ***\n",
    "torchrun's word": "W0301 api.py:719] Received 2 death signal, shutting down workers\n",
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_run_that_a_person_stopped_is_remarked_and_not_failing(
    name: str, tmp_path: Path, rulebook: Rulebook
) -> None:
    run = one(tmp_path, dicts() + BY_HAND[name], rulebook)
    assert {code: f["severity"] for code, f in found(run).items()} == {"CR008": "info"}
    assert run["status"] != "failing"


def test_an_error_after_the_end_of_training_is_a_warning(
    tmp_path: Path, rulebook: Rulebook
) -> None:
    end = "{'train_runtime': 100.0, 'train_loss': 1.2, 'epoch': 4.0}\n" + TRACE
    run = one(tmp_path, dicts() + end + "HTTPError: 403 Client Error\n", rulebook)
    assert {code: f["severity"] for code, f in found(run).items()} == {"CR010": "warning"}


def test_a_crash_before_the_first_metric_is_told(tmp_path: Path, rulebook: Rulebook) -> None:
    run = one(tmp_path, "loading\n" + TRACE + "KeyError: 'text'\n", rulebook)
    assert run["status"] == "failing"
    assert list(found(run)) == ["CR001"]


@pytest.mark.parametrize("name", ["slurm-12.err", "stderr.log", "train.err", "train.e41234"])
def test_a_crash_is_found_in_the_file_of_errors_beside_the_log(
    name: str, tmp_path: Path, rulebook: Rulebook
) -> None:
    rows = "".join(f'{{"step": {i}, "loss": {2 - i / 50}}}\n' for i in range(1, 41))
    (tmp_path / "metrics.jsonl").write_text(rows)
    (tmp_path / name).write_text("some warning\n" + TRACE + "RuntimeError: NCCL error: no link\n")
    runs = looked_at(tmp_path, rulebook)
    assert [list(found(run)) for run in runs] == [["CR002"]]


def test_errors_of_an_earlier_attempt_or_of_another_program_are_not_the_runs(
    tmp_path: Path, rulebook: Rulebook
) -> None:
    rows = "".join(f'{{"step": {i}, "loss": {2 - i / 50}}}\n' for i in range(1, 41))
    (tmp_path / "metrics.jsonl").write_text(rows)
    for name in ("slurm-11.err", "install.log"):
        (tmp_path / name).write_text(TRACE + "RuntimeError: NCCL error: no link\n")
    written = (tmp_path / "metrics.jsonl").stat().st_mtime
    os.utime(tmp_path / "slurm-11.err", (written - 3600, written - 3600))
    runs = looked_at(tmp_path, rulebook)
    assert [found(run) for run in runs] == [{}]


def falling(count: int, total: int, interval: int = 10) -> str:
    """Lines of a loss that falls on and on, of a run of so many steps."""
    return "".join(
        f"step {i * interval}/{total} | loss {6 - 0.03 * i + 0.02 * (i % 3):.4f} | lr 1.0e-04\n"
        for i in range(1, count + 1)
    )


def barred(count: int, total: int, interval: int = 20) -> str:
    return "".join(
        f"{100 * i * interval // total}%|#   | {i * interval}/{total} [01:00<02:00, 1.0it/s]\n"
        f"{{'loss': {6 - 0.03 * i + 0.02 * (i % 3):.4f}, 'learning_rate': 1e-04, "
        f"'epoch': {3 * i * interval / total:.2f}}}\n"
        for i in range(1, count + 1)
    )


@pytest.mark.parametrize("text", [falling(60, 2000), barred(50, 3258)], ids=["steps", "bar"])
def test_a_run_that_is_not_over_is_not_told_that_it_ended_too_early(
    text: str, tmp_path: Path, rulebook: Rulebook
) -> None:
    run = one(tmp_path, text, rulebook)
    early = {"EP001", "EP002", "SC003"}
    assert not early & {f["code"] for f in run["findings"]}
    whys = {row["code"]: row["why"] for row in run["checks"]["not_judged"]}
    assert whys["EP002"] == "the run is not over"


def test_the_same_curve_that_came_to_its_end_is_told(tmp_path: Path, rulebook: Rulebook) -> None:
    run = one(tmp_path, falling(60, 600), rulebook)
    assert "EP002" in {f["code"] for f in run["findings"]}


@pytest.mark.parametrize(
    "end", [TRACE + "ValueError: no\n", "Killed\n", TRACE + "KeyboardInterrupt\n"]
)
def test_a_run_that_was_broken_off_is_not_told_to_train_longer(
    end: str, tmp_path: Path, rulebook: Rulebook
) -> None:
    text = falling(60, 2000).replace("/2000", "")
    run = one(tmp_path, text + end, rulebook)
    assert "EP002" not in {f["code"] for f in run["findings"]}
    assert "step_scheduler.num_epochs" not in {e["key"] for e in run["plan"]["edits"]}


def test_the_command_itself_tells_it_and_hides_secrets(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text(dicts() + TRACE + "ValueError: bad call, api_key=abcdefgh12345678 was refused\n")
    status, whole = asked(log)
    assert status == 1 and whole["runs"][0]["status"] == "failing"
    shown = advise("check", log).stdout
    assert "CR001 ends-in-exception" in shown and "bad call" in shown
    assert "abcdefgh12345678" not in shown + repr(whole)


def test_watch_tells_it_as_check_does(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text(dicts() + "Segmentation fault (core dumped)\n")
    done = advise("watch", log, "--once")
    assert done.returncode == 1
    assert "CR003" in done.stdout


def faults() -> Iterator[Path]:
    yield from sorted(SHARED.iterdir()) if SHARED.is_dir() else ()


@pytest.mark.parametrize("folder", list(faults()), ids=lambda path: path.name)
def test_the_crashes_of_the_field_are_told(folder: Path, rulebook: Rulebook) -> None:
    (run,) = looked_at(folder, rulebook)
    assert run["status"] == ("failing" if folder.name != "kbd" else run["status"])
    assert len(found(run)) == 1
