"""The root of a crash is told from what it brings about, and last words from what is no end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.pipeline import Request, check_paths
from advisor.report.contract import report_of
from advisor.rulebook.load import load_rules

TRACE = 'Traceback (most recent call last):\n  File "/a/train.py", line 8, in main\n    step()\n'
ASYNC = (
    "CUDA kernel errors might be asynchronously reported at some other API call.\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\n"
)
END = "{'train_runtime': 100.0, 'train_loss': 1.2, 'epoch': 4.0}\n"


def rows(count: int = 40, first: int = 1) -> str:
    return "".join(
        f"step {i * 10}/4000 | loss {1.1 + 0.9 * 0.9**i + 0.002 * (i % 3):.4f} | lr 1.0e-04\n"
        for i in range(first, first + count)
    )


def runs_of(folder: Path, text: str) -> list[dict[str, Any]]:
    (folder / "train.log").write_text(text)
    reports, failures = check_paths([folder], load_rules(), Request())
    assert not failures
    return [report_of(report) for report in reports]


def told(run: dict[str, Any]) -> dict[str, str]:
    kinds = ("CR", "MEM")
    return {f["code"]: f["message"] for f in run["findings"] if f["code"].startswith(kinds)}


KINDS = {
    "an asynchronous CUDA error": (
        TRACE + "torch.AcceleratorError: CUDA error: unspecified launch failure\n" + ASYNC,
        "CR007", "unspecified launch failure",
    ),
    "an index, and the same hint": (
        TRACE + "RuntimeError: CUDA error: device-side assert triggered\n" + ASYNC,
        "CR006", "device-side assert triggered",
    ),
    "cuBLAS": (
        TRACE + "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `x`\n",
        "CR007", "CUBLAS_STATUS_NOT_INITIALIZED",
    ),
    "HIP": (TRACE + "RuntimeError: HIP error: unspecified\n", "CR007", "HIP error"),
    "a watchdog that aborts": (
        "[rank1]:[E1201 ProcessGroupNCCL.cpp:616] [Rank 1] Watchdog caught collective operation "
        "timeout\nterminate called after throwing an instance of 'c10::DistBackendError'\n"
        "Aborted (core dumped)\n",
        "CR002", "Watchdog caught",
    ),
    "an abort alone": ("Aborted (core dumped)\n", "CR003", "Aborted"),
    "a checkpoint cut off": (
        TRACE + "RuntimeError: [enforce fail at inline_container.cc:603] . unexpected pos 2048 "
        "vs 1940\n",
        "CR004", "unexpected pos",
    ),
    "a cloud's preemption": ("Instance was preempted.\n", "CR005", "preempted"),
    "a handler of SIGTERM": ("[rank: 0] Received SIGTERM: 15\n", "CR005", "SIGTERM"),
    "a handler's number": ("Signal handler called with signal 15\n", "CR005", "signal 15"),
    "Ray short of memory": (
        TRACE + "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on "
        "memory.\n",
        "MEM003", "running low on memory",
    ),
    "mpirun": (
        "mpirun noticed that process rank 1 with PID 0 on node a exited on signal 9 (Killed).\n",
        "MEM003", "signal 9",
    ),
    "a container": ("Container killed on request. Exit code is 137\n", "MEM003", "137"),
    "an NPU short of memory": (
        TRACE + "RuntimeError: NPU out of memory. Tried to allocate 2.00 GiB\n",
        "MEM001", "NPU out of memory",
    ),
    "an error of CUDA without a traceback": (
        "Error: CUDA error: device kernel image is invalid\n", "CR007", "kernel image is invalid",
    ),
    "a notebook short of memory": (
        "Your session crashed after using all available RAM.\n", "MEM003", "available RAM",
    ),
    "a kernel of a notebook": (
        "The kernel appears to have died. It will restart automatically.\n", "CR003", "kernel",
    ),
    "make": ("make: *** [Makefile:12: train] Error 1\n", "CR009", "Error 1"),
    "make, of a killed process": (
        "make: *** [Makefile:12: train] Error 137\n", "MEM003", "Error 137",
    ),
    "a compiler that fails is no launcher": (
        TRACE + "InductorError: CalledProcessError: Command '['/usr/bin/gcc', 'x.c']' returned "
        "non-zero exit status 1.\n",
        "CR001", "gcc",
    ),
    "a group of exceptions": (
        '  + Exception Group Traceback (most recent call last):\n  |   File "/a/t.py", line 1\n'
        "  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)\n"
        "  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n"
        '    |   File "/a/b.py", line 3, in f\n    | ValueError: bad row\n'
        "    +------------------------------------\n",
        "CR001", "ExceptionGroup",
    ),
    "a platform's report": (
        'sagemaker-training-toolkit ERROR    ExecuteUserScriptError:\nExitCode 1\n'
        'ErrorMessage "RuntimeError: shape is invalid"\n',
        "CR001", "shape is invalid",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_the_root_is_named_and_quoted(name: str, tmp_path: Path) -> None:
    text, code, quote = KINDS[name]
    (run,) = runs_of(tmp_path, rows() + text)
    assert list(told(run)) == [code]
    assert quote in told(run)[code]
    assert run["status"] == "failing"
    assert run["points"]["train/loss"] == 40


SOUND = {
    "memory ran out, and the run was resumed": rows(20)
    + TRACE
    + "torch.cuda.OutOfMemoryError: CUDA out of memory.\nResuming training from checkpoint-200\n"
    + rows(20, 21),
    "memory ran out, and a smaller batch did": rows(20)
    + "CUDA out of memory, retrying with batch size 4\n"
    + rows(20, 21),
    "a helper sent home when training was over": rows() + END + "Terminated\n",
    "loaders sent home": rows() + END + "shutting down: worker received SIGTERM\n",
    "a handler that is registered": "Registered handler for SIGTERM, SIGUSR1\n" + rows(),
    "a code of 0": rows() + "Job finished with exit code 0\n",
}


@pytest.mark.parametrize("name", SOUND)
def test_what_ended_nothing_is_silent(name: str, tmp_path: Path) -> None:
    (run,) = runs_of(tmp_path, SOUND[name])
    assert not told(run)
    assert run["status"] in ("ok", "unknown")


def test_a_time_limit_after_training_is_remarked(tmp_path: Path) -> None:
    limit = "slurmstepd: error: *** JOB 1 ON a CANCELLED AT 2026 DUE TO TIME LIMIT ***\n"
    (run,) = runs_of(tmp_path, rows() + END + limit)
    assert list(told(run)) == ["CR010"]


def test_an_attempt_that_broke_off_is_not_told_to_train_longer(tmp_path: Path) -> None:
    """Its end is history, as another run follows it in the same log; and it is no 'ok'."""
    falling = "".join(f"step {i * 10} | loss {3 - 0.05 * i:.3f}\n" for i in range(1, 31))
    broken, last = runs_of(tmp_path, falling + TRACE + "ValueError: bad batch\n" + falling)
    assert "EP002" not in {finding["code"] for finding in broken["findings"]}
    assert broken["status"] == "unknown"
    assert any("broken off" in note and "bad batch" in note for note in broken["notes"])
    assert "EP002" in {finding["code"] for finding in last["findings"]}
