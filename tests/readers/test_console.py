"""Console logs: every kind of line, steps that are inferred, events, and hostile text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import ReadError
from advisor.readers.console import reader as console
from advisor.readers.options import ReadOptions
from advisor.run import Run

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "formats" / "console"

Reads = Callable[..., list[Run]]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    def read(text: str | bytes, **options: object) -> list[Run]:
        path = tmp_path / "train.log"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return console.read(path, ReadOptions(**options))  # type: ignore[arg-type]

    return read


def _values(run: Run, name: str) -> list[float]:
    return [float(value) for value in run.series[name].values]


def _steps(run: Run, name: str) -> list[int]:
    return [int(step) for step in run.series[name].steps]


def _dicts(count: int, epochs: float = 1.0) -> str:
    rows = (
        f"{{'loss': {3 - 0.01 * i:.4f}, 'grad_norm': 1.5, 'learning_rate': 1e-05, "
        f"'epoch': {epochs * (i + 1) / count:.2f}}}\n"
        for i in range(count)
    )
    return "".join(rows)


def test_a_dictionary_gives_loss_norm_rate_and_epoch(reads: Reads) -> None:
    run = reads(_dicts(20))[0]
    assert _steps(run, "train/loss") == list(range(1, 21))
    assert {"train/loss", "train/grad_norm", "train/lr"} == set(run.series)
    assert run.series["train/loss"].epochs is not None


def test_quoted_and_bare_non_finite_numbers_are_read(reads: Reads) -> None:
    text = (
        "{'loss': '1.5', 'grad_norm': 'nan', 'epoch': '0.1'}\n"
        "{'loss': 0.0, 'grad_norm': nan, 'epoch': 0.2}\n"
        "{\u2018loss\u2019: inf, \u2018grad_norm\u2019: 2.0, \u2018epoch\u2019: 0.3}\n"
    )
    run = reads(text)[0]
    assert np.allclose(_values(run, "train/loss"), [1.5, 0.0, np.inf])
    assert np.isnan(_values(run, "train/grad_norm")[:2]).all()


def test_steps_come_from_the_bar_before_the_dictionary(reads: Reads) -> None:
    text = ""
    for step in (10, 20, 30):
        text += f"\r  2%|\u258f   | {step}/469 [00:10<05:00,  1.1it/s]\x1b[A"
        text += f"{{'loss': {5 - step / 10}, 'learning_rate': 1e-5, 'epoch': {step / 469:.2f}}}\n"
    run = reads(text)[0]
    assert _steps(run, "train/loss") == [10, 20, 30]
    assert any("progress bar" in note for note in run.notes)


def test_steps_come_from_the_closing_speed_where_no_bar_is_there(reads: Reads) -> None:
    closing = "{'train_runtime': 100.0, 'train_steps_per_second': 2.0, 'train_loss': 2.9}\n"
    run = reads(_dicts(20) + closing)[0]
    assert _steps(run, "train/loss")[:2] == [10, 20]
    assert run.facts["train_loss"] == 2.9
    assert "train_runtime" in run.facts and len(run.series["train/loss"]) == 20


def test_an_evaluation_takes_the_step_of_the_row_before_it(reads: Reads) -> None:
    text = _dicts(3) + "{'eval_loss': 2.5, 'eval_runtime': 3.0, 'epoch': 1.0}\n"
    assert _steps(reads(text)[0], "eval/loss") == [3]


def test_automodel_lines_in_all_three_forms(reads: Reads) -> None:
    text = "".join(
        f"step {i} | epoch 0 | loss {2 - i / 100:.4f} | grad_norm 2.5 | lr 9.87e-06 | "
        "mem 11.66 GiB | tps 6924.50(6924.50/gpu) | num_label_tokens 4707\n"
        for i in range(20)
    )
    text += '[val] name "default" | step 19 | epoch 0 | loss 0.2469 | lr 9.87e-06\n'
    text += "INFO:root:[val] step 20 | epoch 0 | loss 0.2470\n"
    text += '[val] name "chat" | step 19 | epoch 0 | loss 0.5\n'
    run = reads(text)[0]
    assert _steps(run, "train/loss") == list(range(20))
    assert _values(run, "eval/loss") == [0.2469, 0.247]
    assert _values(run, "eval/chat/loss") == [0.5]
    assert _values(run, "train/memory_gib")[0] == 11.66
    assert _values(run, "train/tokens_per_second")[0] == 6924.5


def test_coloured_lines_with_units_and_thousands(reads: Reads) -> None:
    line = (
        "[rank0]:[titan] 2026-05-20 02:13:44,263 - root - INFO - \x1b[31mstep: {0:2}  "
        "\x1b[32mloss: {1:8.5f}  \x1b[38;2;180;60;0mgrad_norm: 20.6250  memory: 160.86GiB(90.19%)"
        "  tps: 1,125  mfu: 4.21%\x1b[39m\n"
    )
    run = reads("".join(line.format(i, 12 - i) for i in range(1, 6)))[0]
    assert _values(run, "train/loss") == [11, 10, 9, 8, 7]
    assert _values(run, "train/tokens_per_second")[0] == 1125
    assert _values(run, "train/memory_gib")[0] == 160.86


def test_iteration_lines_and_evaluations_of_both_splits(reads: Reads) -> None:
    text = "step 0: train loss 4.2, val loss 4.3\n"
    text += "".join(f"iter {i}: loss {4 - i / 1000:.4f}, time 20ms\n" for i in range(0, 1000, 100))
    text += "step 1000: train loss 3.1, val loss 3.2\n"
    run = reads(text)[0]
    assert _steps(run, "eval/loss") == [0, 1000]
    assert _values(run, "eval/loss") == [4.3, 3.2]
    assert len(run.series["train/loss"]) == 10


def test_epoch_lines_without_steps_use_epochs(reads: Reads) -> None:
    text = "".join(
        f"Epoch {i}: Train Loss: {3 / i:.4e} | Train MAE: 1.1e+00 | Test Loss: {4 / i:.4e} | "
        "Time Taken: 6m 52s\n"
        for i in range(1, 6)
    )
    run = reads(text)[0]
    assert _steps(run, "train/loss") == [1, 2, 3, 4, 5]
    assert _values(run, "eval/loss")[0] == 4.0
    assert not any("time" in name for name in run.series)


def test_batches_within_epochs_are_counted_on(reads: Reads) -> None:
    text = "".join(
        f"Epoch: {epoch} | Batch: {batch}/ 100 | LR: 2.9e-04 |Loss: 4.6\n"
        for epoch in (1, 2, 3)
        for batch in range(0, 100, 50)
    )
    assert _steps(reads(text)[0], "train/loss") == [0, 50, 100, 150, 200, 250]


def test_losses_of_batches_without_a_step_are_counted(reads: Reads) -> None:
    text = "".join(
        f"2025-03-02 05:16:{i % 60:02},348 - INFO - Epoch {i // 10} - Batch loss: {12 - i / 5}\n"
        for i in range(30)
    )
    run = reads(text)[0]
    assert _steps(run, "train/loss") == list(range(1, 31))
    assert any("counted" in note for note in run.notes)


def test_only_the_last_of_each_keras_progress_line_counts(reads: Reads) -> None:
    text = ""
    for epoch in (1, 2):
        text += f"Epoch {epoch}/90\n\n"
        text += "  256/1000 [=====>.......] - ETA: 5s - loss: 0.9 - accuracy: 0.5\r"
        text += f"1000/1000 [=====] - 5s 5ms/step - loss: 0.{9 - epoch} - accuracy: 0.6"
        text += f" - val_loss: 0.{8 - epoch} - val_accuracy: 0.7\n"
    run = reads(text)[0]
    assert _values(run, "train/loss") == [0.8, 0.7]
    assert _values(run, "eval/loss") == [0.7, 0.6]
    assert run.facts["num_train_epochs"] == 90


def _megatron(step: int, loss: str, skipped: int = 0) -> str:
    return (
        f" iteration {step:8}/  250000 | elapsed time per iteration (ms): 4247.9 | "
        f"learning rate: 2.999E-04 |{loss} loss scale: 1024.0 | grad norm: nan | "
        f"number of skipped iterations:   {skipped} |\n"
    )


def test_megatron_lines_without_a_loss_are_not_finite_unless_skipped(reads: Reads) -> None:
    text = _megatron(1, " lm loss: 1.2E+00 |") + _megatron(2, "") + _megatron(3, "", skipped=1)
    run = reads(text)[0]
    loss = _values(run, "train/loss")
    assert loss[0] == 1.2 and np.isnan(loss[1]) and len(loss) == 2
    assert [event.kind for event in run.events] == ["overflow_skip"]
    assert _values(run, "train/step_time")[0] == pytest.approx(4.2479)


def test_steps_as_a_ratio_in_a_dictionary(reads: Reads) -> None:
    text = "".join(
        f'{{"loss": 1.5, "grad_norm": 2.0, "epoch": 0.1, "global_step/max_steps": "{i}/3820"}}\n'
        for i in (10, 20)
    )
    assert _steps(reads(text)[0], "train/loss") == [10, 20]


def test_a_dictionary_over_several_lines(reads: Reads) -> None:
    run = reads("{\n    'loss': 2.31,\n    'grad_norm': nan,\n    'epoch': 0.03\n}\n")[0]
    assert _values(run, "train/loss") == [2.31]


def test_out_of_memory_within_an_evaluation_says_so(reads: Reads) -> None:
    text = _dicts(5) + (
        "Traceback (most recent call last):\n"
        '  File "trainer.py", line 3, in evaluation_loop\n    logits = gather(logits)\n'
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n"
    )
    event = reads(text)[0].events[0]
    assert (event.kind, event.step) == ("oom", 5)
    assert "evaluation" in event.text


def test_a_failure_without_a_metric_is_a_run_without_series(reads: Reads) -> None:
    run = reads("Traceback (most recent call last):\n  File 'a.py'\nValueError: bad shape\n")[0]
    assert not run.series
    assert [(event.kind, event.text) for event in run.events] == [
        ("exception", "ValueError: bad shape")
    ]


def test_known_warnings_and_skipped_steps_are_events(reads: Reads) -> None:
    text = "Some weights were not used: ['x'] are newly initialized: ['score.weight']\n"
    text += "UserWarning: None of the inputs have requires_grad=True. Gradients will be None\n"
    text += "`use_cache=True` is incompatible with gradient checkpointing.\n"
    text += "Detected kernel version 4.19, which is below the recommended minimum\n"
    text += "OVERFLOW! Rank 0 Skipping step. Attempted loss scale: 65536\n" + _dicts(3)
    kinds = [event.kind for event in reads(text)[0].events]
    assert sorted(kinds) == ["overflow_skip", "warning", "warning"]


def test_words_that_hold_nan_and_sentences_with_numbers_are_no_metrics(reads: Reads) -> None:
    with pytest.raises(ReadError, match="no metric"):
        reads("loss: nanochat\nnanotron step nano\nThe best loss: 3.2 was found in paper 7\n")


def test_two_runs_in_one_log_are_two_runs(reads: Reads) -> None:
    header = "***** Running training *****\n  Num examples = 100\n"
    runs = reads(header + _dicts(10, 2.0) + header + _dicts(10, 2.0))
    assert [len(run.series["train/loss"]) for run in runs] == [10, 10]
    assert [run.id for run in runs] == ["1", "2"]


def test_a_step_back_into_the_run_is_a_resume(reads: Reads) -> None:
    steps = [*range(10, 110, 10), *range(60, 160, 10)]
    run = reads("".join(f"step {s} loss {5 - s / 100:.3f} lr 1e-4\n" for s in steps))[0]
    assert _steps(run, "train/loss") == list(range(10, 160, 10))
    assert any(event.kind == "resume" for event in run.events)
    assert run.series["train/loss"].dropped == 5


def test_other_metrics_can_be_mapped_and_steps_cut(reads: Reads) -> None:
    text = "".join(f"step {i} | loss {i}.5 | my_metric: {i}.25\n" for i in range(1, 9))
    run = reads(text, map={"train/loss": "my_metric"}, steps=(3, 5))[0]
    assert _values(run, "train/loss") == [3.25, 4.25, 5.25]


def test_utf16_text_of_a_powershell_redirect_is_read(reads: Reads) -> None:
    assert len(reads(_dicts(5).encode("utf-16"))[0].series["train/loss"]) == 5


def test_a_huge_line_is_bounded(reads: Reads) -> None:
    run = reads("x" * 9_000_000 + "\n" + _dicts(4))[0]
    assert len(run.series["train/loss"]) == 4


def test_many_alike_lines_read_the_same_as_few(reads: Reads) -> None:
    many = reads(_dicts(5000))[0].series["train/loss"]
    assert np.allclose(many.values, np.round(3 - 0.01 * np.arange(5000), 4))


def test_sniff_tells_logs_from_sources_and_binary(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("# header\n" * 2000 + _dicts(2))
    assert console.sniff(log, log.read_bytes()[:4096])
    assert not console.sniff(tmp_path / "a.py", b"loss = 0.5\n")
    other = tmp_path / "b.bin"
    other.write_bytes(bytes(range(256)) * 20)
    assert not console.sniff(other, other.read_bytes()[:4096])


_PIECES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.sampled_from(
            [
                "{'loss': 1.0, 'epoch': 0.1}\n",
                "{'loss': ",
                "}\n",
                "step 5 | loss 2.0\n",
                "\r",
                "\n",
                "\x1b[31m",
                " 10%|# | 1/10 [00:01<00:02, 1it/s]",
                "Epoch 1/3\n",
                "nan",
                "iteration 99999999999999999999/ 3 | lm loss: 1E+999 | loss scale: 1\n",
                "{\n",
                "Traceback (most recent call last):\n",
                "Error: x\n",
                "epoch 1e400 loss 5\n",
                "***** train metrics *****\n",
                "  train_loss = 1.0\n",
                "{'loss': 2, 'step': 1e300}\n",
            ]
        ),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.one_of(st.binary(max_size=400), _PIECES.map(lambda p: "".join(p).encode())))
def test_any_bytes_give_runs_or_a_read_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(content)
    try:
        console.sniff(path, content[:100])
        runs = console.read(path)
    except ReadError:
        return
    assert all(run.series or run.events for run in runs)


def test_the_mean_of_an_epoch_is_no_point_among_its_steps(reads: Reads) -> None:
    text = ""
    for epoch in (1, 2):
        text += "".join(f"epoch {epoch} step {epoch * 50 + i} loss 2.0\n" for i in range(0, 50, 10))
        text += f"Epoch {epoch} done | train loss: 9.0 | val loss: {3 - epoch}.5\n"
    run = reads(text)[0]
    assert _values(run, "train/loss") == [2.0] * 10
    assert _values(run, "train/epoch_loss") == [9.0, 9.0]
    assert _steps(run, "eval/loss") == [90, 140]


@pytest.mark.parametrize(
    "line",
    [
        "{step} | loss {loss} | lr 3.0e-04 | 138.7ms",
        "[{step}/400] loss: {loss}",
        "[{step}] train loss {loss}",
        "{step}, loss={loss}",
        "{step}: loss {loss}",
        "{step} train_loss {loss} lr 1e-4",
        "#{step} | loss: {loss}",
    ],
)
def test_a_number_that_opens_the_line_is_the_step(reads: Reads, line: str) -> None:
    text = "\n".join(line.format(step=at, loss=4 - at / 100) for at in range(40, 320, 10))
    assert _steps(reads(text)[0], "train/loss") == list(range(40, 320, 10))


def test_a_number_that_opens_the_line_and_goes_to_and_fro_is_no_step(reads: Reads) -> None:
    text = "\n".join(f"{at % 4}: loss {4 - at / 100}" for at in range(40))
    assert _steps(reads(text)[0], "train/loss") == list(range(1, 41))


@pytest.mark.parametrize(
    "tag", ["[E{}]", "[epoch-{}]", "(epoch {}/3)", "<ep {}>", "epoch-{}:", "ep_{} |", "E{}"]
)
def test_a_tag_of_the_epoch_makes_steps_go_on(reads: Reads, tag: str) -> None:
    rows = [
        f"{tag.replace('{}', str(epoch))} step {step} loss {3 / epoch:.3f}"
        for epoch in (1, 2, 3)
        for step in range(0, 100, 10)
    ]
    (run,) = reads("\n".join(rows))
    assert _steps(run, "train/loss") == list(range(0, 300, 10))


def test_cells_that_were_copied_one_a_line_make_a_table(reads: Reads) -> None:
    rows = [("Step", "Training Loss", "Validation Loss")]
    rows += [(str(at), f"{2 - at / 400:.4f}", f"{1 + at / 400:.4f}") for at in range(50, 350, 50)]
    rows[1] = ("50", "No log", rows[1][2])
    for blank in ("\n", "\n\n"):
        cells = blank.join(cell for row in rows for cell in row)
        (run,) = reads(f"[300/300 20:11, Epoch 6/6]\n{cells}\nTrainOutput(global_step=300)\n")
        assert _steps(run, "train/loss") == [100, 150, 200, 250, 300]
        assert _steps(run, "eval/loss") == [50, 100, 150, 200, 250, 300]


def test_lone_numbers_without_a_header_are_no_table(reads: Reads) -> None:
    text = "Step\nTime\n1\n2.5\n3\n4.5\n" + _dicts(5)
    assert _steps(reads(text)[0], "train/loss") == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "line",
    [
        "[Rank 0] Overflow detected. Skipping step. Attempted loss scale: {0}.0, reducing to {1}.0",
        "OVERFLOW! Rank 0 Skipping step. Attempted loss scale: {0}, reducing to {1}",
        "Gradient overflow.  Skipping step, loss scaler 0 reducing loss scale to {1}",
    ],
)
def test_a_log_of_nothing_but_overflows_tells_of_them(
    tmp_path: Path, line: str, reads: Reads
) -> None:
    text = "\n".join(line.format(2**at, 2 ** (at - 1)) for at in range(8, 0, -1))
    (run,) = reads(text)
    assert [event.kind for event in run.events] == ["overflow_skip"] * 8 and not run.series
    assert console.sniff(tmp_path / "train.log", text.encode())
