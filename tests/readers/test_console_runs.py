"""Console logs of several runs and of several processes, and steps that only epochs tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advisor.readers.console import reader as console
from advisor.readers.console.messages import HINT, is_resume
from advisor.run import Run

Reads = Callable[[str], list[Run]]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    def read(text: str) -> list[Run]:
        path = tmp_path / "train.log"
        path.write_text(text)
        return console.read(path)

    return read


def _steps(run: Run, name: str = "train/loss") -> list[int]:
    return [int(step) for step in run.series[name].steps]


def _row(epoch: float, loss: float, rate: float = 1e-4) -> str:
    return f"{{'loss': {loss:.4f}, 'learning_rate': {rate:.6g}, 'epoch': {epoch:.2f}}}"


def _held(epoch: float, loss: float) -> str:
    return f"{{'eval_loss': {loss:.4f}, 'eval_runtime': 5.0, 'epoch': {epoch:.2f}}}"


def _run(
    epochs: int, each: int, start: float, seconds: float | None = None, speed: float = 1.0
) -> Iterator[str]:
    """Lines of a run with so many rows an epoch, an evaluation after each, and a summary."""
    for at in range(1, epochs * each + 1):
        yield _row(at / each, start / (1 + 0.1 * at), 1e-4 * (1 - at / (epochs * each + 1)))
        if at % each == 0:
            yield _held(at / each, start - 0.1 * at / each)
    if seconds is not None:
        said = f"'train_runtime': {seconds}, 'train_steps_per_second': {speed}"
        yield f"{{{said}, 'epoch': {epochs}}}"


def test_a_run_appended_to_another_takes_its_evaluations_along(reads: Reads) -> None:
    runs = reads("\n".join([*_run(3, 5, 2.0), *_run(3, 5, 3.0)]))
    assert [_steps(run) for run in runs] == [list(range(1, 16))] * 2
    assert [_steps(run, "eval/loss") for run in runs] == [[5, 10, 15]] * 2
    assert float(runs[1].series["eval/loss"].values[0]) == pytest.approx(2.9)


def test_the_closing_summary_ends_a_run_though_the_next_logs_less_often(reads: Reads) -> None:
    text = "\n".join(["task one", *_run(3, 5, 1.0, 60), "task two", *_run(4, 4, 2.0, 160)])
    runs = reads(text)
    assert [len(run.series["train/loss"]) for run in runs] == [15, 16]
    assert [_steps(run, "eval/loss") for run in runs] == [[20, 40, 60], [40, 80, 120, 160]]
    assert [run.facts["train_runtime"] for run in runs] == [60, 160]


def test_what_is_said_between_two_runs_is_of_the_run_that_it_opens(reads: Reads) -> None:
    warning = "Some weights were newly initialized: ['score.weight']"
    runs = reads("\n".join([*_run(3, 5, 2.0, 60), warning, *_run(3, 5, 3.0, 60)]))
    assert [[event.kind for event in run.events] for run in runs] == [[], ["warning"]]


def test_a_header_between_short_runs_does_not_take_the_first_ones_events(reads: Reads) -> None:
    header = "***** Running training *****"
    failed = "RuntimeError: CUDA error: device-side assert triggered"
    runs = reads("\n".join([header, *_run(1, 5, 2.0), failed, header, *_run(1, 6, 2.0)]))
    assert [[event.kind for event in run.events] for run in runs] == [["exception"], []]


def test_a_run_that_is_resumed_near_its_beginning_is_no_other_run(reads: Reads) -> None:
    lines = [*_run(1, 10, 2.0)]
    again = ["***** Running training *****", "Resuming from checkpoint-2", *lines[2:]]
    assert len(reads("\n".join([*lines[:6], *again]))) == 1


@pytest.mark.parametrize(
    "mark",
    ["[rank{}]: ", "[rank {}] ", "{}: ", "{}: [rank{}] ", "[default{}]:", "[1,{}]<stdout>:",
     "(RayTrainWorker pid=4{}7, ip=10.0.0.1) ", "worker-{}: ", "10.0.0.{}: "],
)  # fmt: skip
def test_lines_of_several_processes_count_once(reads: Reads, mark: str) -> None:
    marks = [mark.replace("{}", str(rank)) for rank in range(4)]
    lines = [*_run(4, 5, 2.0)]
    text = "\n".join(one + line for line in lines for one in (marks[2], marks[0], *marks[1::2]))
    (run,) = reads(text)
    assert _steps(run) == list(range(1, 21))
    assert _steps(run, "eval/loss") == [5, 10, 15, 20]
    assert "4 processes wrote the same rows" in run.notes[0]


def test_of_processes_that_disagree_one_is_read_and_not_a_mixture(reads: Reads) -> None:
    text = "\n".join(
        f"{rank}: [rank{rank}] step {step} loss {2 + rank + 1 / step:.4f}"
        for step in range(10, 210, 10)
        for rank in (2, 0, 1)
    )
    (run,) = reads(text)
    assert _steps(run) == list(range(10, 210, 10))
    assert [float(v) for v in run.series["train/loss"].values] == [
        round(2 + 1 / step, 4) for step in range(10, 210, 10)
    ]


def test_a_process_that_goes_on_for_another_is_read_on(reads: Reads) -> None:
    lines = [*_run(4, 5, 2.0)]
    marks = [f"(Trainer pid={1 if at < 12 else 2}) " for at in range(len(lines))]
    (run,) = reads("\n".join(map("".join, zip(marks, lines, strict=True))))
    assert _steps(run) == list(range(1, 21))


def test_numbers_before_dictionaries_that_grow_are_steps(reads: Reads) -> None:
    text = "\n".join(f"{step}: {{'loss': {2 / step:.4f}}}" for step in range(10, 110, 10))
    (run,) = reads(text)
    assert _steps(run) == list(range(10, 110, 10))


@pytest.mark.parametrize("times", [2, 4, 8])
def test_equal_lines_in_groups_of_one_size_count_once(reads: Reads, times: int) -> None:
    text = "\n".join(line for line in _run(4, 5, 2.0) for _ in range(times))
    (run,) = reads(text)
    assert (_steps(run), _steps(run, "eval/loss")) == (list(range(1, 21)), [5, 10, 15, 20])
    assert f"{times} times" in run.notes[-1]


def test_equal_lines_in_groups_of_several_sizes_all_stay(reads: Reads) -> None:
    lines = [line for at, line in enumerate(_run(4, 5, 2.0)) for _ in range(1 + at % 3)]
    assert len(reads("\n".join(lines))[0].series["train/loss"]) == sum("'loss'" in x for x in lines)


@pytest.mark.parametrize("loss", ["0.0", "0.6934", "nan"])
def test_a_loss_that_stays_keeps_every_point(reads: Reads, loss: str) -> None:
    """Five rows share the printed epoch, and nothing else tells them apart."""
    text = "\n".join(
        f"{{'loss': {loss}, 'grad_norm': 0.0, 'learning_rate': 1e-05, 'epoch': {at // 5 / 100}}}"
        for at in range(60)
    )
    assert len(reads(text)[0].series["train/loss"]) == 60


def test_a_second_logger_of_the_same_rows_adds_no_step(reads: Reads) -> None:
    lines = []
    for at in range(1, 21):
        more = f"'learning_rate': 1e-4, 'epoch': {at / 10:.2f}, 'throughput': 1000.5"
        other = f"[INFO|callbacks.py:9] >> {{'loss': {2 / at:.4f}, {more}}}"
        lines += [_row(at / 10, 2 / at), other]
    (run,) = reads("\n".join(lines))
    assert _steps(run) == list(range(1, 21))


def test_a_bar_that_is_printed_after_its_row_gives_the_rows_step(reads: Reads) -> None:
    lines = []
    for at in range(1, 13):
        lines += [_row(at / 6, 2 / at), f" {at}%|###   | {10 * at}/120 [03:10<10:09,  1.92s/it]"]
        lines += [_held(at / 6, 1.0)] if at % 6 == 0 else []
    (run,) = reads("\n".join(lines))
    assert _steps(run) == list(range(10, 130, 10))
    assert _steps(run, "eval/loss") == [60, 120]


def test_a_bar_that_is_printed_before_its_row_gives_the_rows_step(reads: Reads) -> None:
    text = "\n".join(
        f" {at}%|###   | {10 * at}/120 [03:10<10:09,  1.92s/it]\n{_row(at / 6, 2 / at)}"
        for at in range(1, 13)
    )
    assert _steps(reads(text)[0]) == list(range(10, 130, 10))


def test_evaluations_between_rows_are_placed_by_their_epoch(reads: Reads) -> None:
    lines = []
    for at in range(2, 21):  # a row each second and a half epochs, an evaluation each epoch
        lines += [_held(at / 2, 1.0 + 1 / at)] if at % 2 == 0 else []
        lines += [_row(at / 2, 2 / at)] if at % 5 == 0 else []
    (run,) = reads("logging_steps=25\n" + "\n".join(lines))
    assert _steps(run, "eval/loss")[:3] == [10, 20, 30]
    assert _steps(run) == [25, 50, 75, 100]


def test_a_lone_row_among_many_evaluations_makes_epochs_the_steps(reads: Reads) -> None:
    lines = [_held(epoch, 0.5 + 0.01 * epoch) for epoch in range(1, 31)]
    lines.insert(15, _row(15.5, 0.52))
    (run,) = reads("\n".join(lines))
    assert _steps(run, "eval/loss") == list(range(1, 31))
    assert _steps(run) == [16]


def test_a_log_that_begins_in_mid_run_counts_the_rows_that_it_lacks(reads: Reads) -> None:
    lines = [*_run(2, 40, 2.0)]
    (run,) = reads("\n".join(lines[40:]))
    assert _steps(run) == list(range(41, 81))
    assert "begins in mid-run" in run.notes[0]


def test_a_log_that_begins_at_a_checkpoint_goes_on_from_its_step(reads: Reads) -> None:
    lines = [*_run(2, 40, 2.0)]
    (run,) = reads("\n".join(["Resuming from checkpoint-400", *lines[41:]]))
    assert _steps(run) == list(range(410, 810, 10))


@pytest.mark.parametrize(
    "line",
    [
        "Resuming from checkpoint-972",
        "  Continuing training from global step 972",
        "  Will skip the first 1 epochs then the first 20 batches in the first epoch.",
        "Loading model from ./out/checkpoint-1000.",
        "[axolotl.train] Using Auto-resume functionality to start with checkpoint at o/ckpt-5",
        "Restoring states from the checkpoint path at /x/epoch=1-step=100.ckpt",
        "Restored all states from the checkpoint at /x/last.ckpt",
        " successfully loaded checkpoint from /ck [ t 1/1, p 1/1 ] at iteration 4000",
        " loading distributed checkpoint from /ck at iteration 500",
        "[INFO] [Torch] Loading checkpoint from ./ck/global_step1000/mp_rank_00_model_states.pt...",
        "Loaded checkpoint checkpoints/checkpoint_last.pt (epoch 12 @ 1000 updates)",
        "=> loaded checkpoint 'model_best.pth.tar' (epoch 12)",
        "I Loading best validating checkpoint from exp/best_dev-1002347",
        "resumed epoch: 12, iter 7716",
    ],
)
def test_a_resume_is_seen_in_the_words_of_each_trainer(line: str) -> None:
    assert is_resume(line) and HINT.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "To resume training from this checkpoint, pass --resume",
        "resume_from_checkpoint=None",
        "'resume_training': False",
        "Loading best model from ./out/checkpoint-40 (score: 1.21).",
        "loading weights file pytorch_model.bin from cache at /x",
        "Loading checkpoint shards: 100%|####| 2/2",
        "No checkpoint found, cannot resume from /x",
        "Loading model from meta-llama/Llama-2-7b",
        "Loading dataset from /x/step1",
        " successfully loaded checkpoint from /ck [ t 0, p 0 ] at iteration 0",
    ],
)
def test_what_sounds_like_a_resume_is_none(line: str) -> None:
    assert not is_resume(line)


def test_closing_blocks_of_evaluations_are_points_where_nothing_else_tells(reads: Reads) -> None:
    block = (
        "***** Eval results *****\n  epoch = {0}\n  eval_loss = {1}\n  eval_runtime = 0:00:05.12\n"
    )
    lines = []
    for epoch in (1, 2, 3):
        lines += [_row(epoch - 0.5, 1 / epoch), _row(epoch, 0.9 / epoch)]
        lines += block.format(float(epoch), 0.5 + epoch).splitlines()
    (run,) = reads("\n".join(lines))
    assert [float(value) for value in run.series["eval/loss"].values] == [1.5, 2.5, 3.5]
    assert _steps(run, "eval/loss") == [2, 4, 6]


def test_a_closing_block_after_the_best_checkpoint_is_no_point_of_the_curve(reads: Reads) -> None:
    last = "***** eval metrics *****\n  epoch     = 3.0\n  eval_loss = 1.9\n"
    (run,) = reads("\n".join(_run(3, 5, 2.0)) + "\n" + last)
    assert float(run.series["eval/loss"].values[-1]) == pytest.approx(1.7)


def _spoken(epoch: int, loss: float) -> list[str]:
    return [
        f"Epoch {epoch} |   Training | Elapsed Time: 2:40:25 | Steps: 600 | Loss: {loss}",
        f"Epoch {epoch} | Validation | Elapsed Time: 0:15:08 | Steps: 78 | Loss: {loss + 1}",
    ]


def test_columns_that_name_the_side_and_the_batches_of_an_epoch(reads: Reads) -> None:
    lines = [line for epoch in range(4) for line in _spoken(epoch, 4.0 - epoch)]
    (run,) = reads("\n".join(lines))
    assert _steps(run) == _steps(run, "eval/loss") == [600, 1200, 1800, 2400]
    assert [float(value) for value in run.series["eval/loss"].values] == [5, 4, 3, 2]


@pytest.mark.parametrize("own", [True, False])
def test_epochs_from_0_on_after_a_resume_go_on_where_the_checkpoint_is_the_logs_own(
    reads: Reads, own: bool
) -> None:
    saved = "I Saved new best validating model with loss 1.0 to: /x/best_dev-1002347"
    loaded = f"I Loading best validating checkpoint from /x/best_dev-{1002347 if own else 7}"
    before = [line for epoch in range(5) for line in _spoken(epoch, 4.0 - epoch)]
    after = [line for epoch in range(3) for line in _spoken(epoch, 9.0 - epoch)]
    runs = reads("\n".join([*before, saved, loaded, *after]))
    counts = [len(run.series["train/loss"]) for run in runs]
    assert counts == ([8] if own else [5, 3])
    if own:
        assert [event.kind for event in runs[0].events] == ["resume"]
        assert _steps(runs[0]) == list(range(600, 5400, 600))


@pytest.mark.parametrize(
    ("row", "summary"),
    [
        ("step {g} | loss {l:.3f}", "Epoch {e} | train loss {l:.3f} | val loss {v:.3f}"),
        ("step {g} train_loss {l:.3f}", "epoch {e} step {g} train_loss 9 val_loss {v:.3f}"),
        ("{{'step': {g}, 'loss': {l:.3f}}}",
         "{{'epoch': {e}, 'train_loss': 9.0, 'val_loss': {v:.3f}}}"),
        ("{{'loss': {l:.3f}, 'learning_rate': 1e-4, 'epoch': {e}.0}}",
         "{{'train_loss': 9.0, 'eval_loss': {v:.3f}, 'epoch': {e}.0}}"),
    ],
)  # fmt: skip
def test_the_summary_of_an_epoch_is_no_training_point(reads: Reads, row: str, summary: str) -> None:
    lines = []
    for at in range(1, 31):
        said = {"g": 10 * at, "l": 3 - at * 0.05, "e": (at + 9) // 10, "v": 2 - at * 0.01}
        lines += [row.format(**said)] + ([summary.format(**said)] if at % 10 == 0 else [])
    (run,) = reads("\n".join(lines))
    expected = [round(3 - at * 0.05, 3) for at in range(1, 31)]
    assert [float(value) for value in run.series["train/loss"].values] == expected
    assert _steps(run, "eval/loss") == _steps(run)[9::10]


def test_names_of_two_slashes_tell_the_reward_of_a_policy(reads: Reads) -> None:
    rows = [
        f"(TaskRunner pid=12) step:{i} - actor/pg_loss:0.01 - actor/grad_norm:0.4 - actor/lr:1e-06"
        f" - critic/score/mean:{i / 50} - critic/rewards/mean:{i / 40} - critic/rewards/max:1.0"
        for i in range(1, 41)
    ]
    (run,) = reads("\n".join(rows))
    assert run.series["train/reward"].values.tolist() == [i / 40 for i in range(1, 41)]
    assert set(run.series["train/lr"].values) == {1e-06}
    assert run.facts["objective"] == "rl"
