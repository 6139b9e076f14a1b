"""CSV: Lightning's sparse pairs, ragged and quoted rows, and tables that are no logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from advisor.errors import ReadError
from advisor.readers import read_file
from advisor.readers.options import ReadOptions
from advisor.run import Run

Reads = Callable[..., list[Run]]


@pytest.fixture
def reads(tmp_path: Path) -> Reads:
    def read(text: str | bytes, name: str = "metrics.csv", **options: object) -> list[Run]:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_file(path, ReadOptions(**options))  # type: ignore[arg-type]

    return read


def _table(count: int = 10) -> str:
    return "step,loss\n" + "".join(f"{i},{3 - i / 10}\n" for i in range(count))


def test_lightning_takes_steps_before_epoch_means(reads: Reads) -> None:
    rows = "".join(f"{i // 5},{i},{2 - i / 10},\n" for i in range(10))
    means = "0,4,,1.8\n1,9,,1.3\n"
    (run,) = reads("epoch,step,train_loss_step,train_loss_epoch\n" + rows + means)
    assert run.format == "lightning"
    assert len(run.series["train/loss"]) == 10
    assert run.series["train/epoch_loss"].steps.tolist() == [4, 9]


def test_ragged_rows_are_left_out_and_counted(reads: Reads) -> None:
    (run,) = reads(_table() + "10,2.0,7\n11\n12,1.5\n")
    assert run.series["train/loss"].steps.tolist() == [*range(10), 12]
    assert any("2 rows" in note for note in run.notes)


def test_one_cell_too_many_here_and_one_too_few_there_do_not_shift_a_column(reads: Reads) -> None:
    (run,) = reads("step,loss,lr\n1,3.0,0.1\n2,2.0,0.1,7\n3,1.0\n4,0.5,0.1\n")
    assert run.series["train/loss"].steps.tolist() == [1, 4]


def test_quoted_cells_and_words_are_read(reads: Reads) -> None:
    (run,) = reads('step,loss,"note, long"\n1,"3.0","a, b"\n2,2.5,\n3,nan,"x ""y"""\n')
    assert run.series["train/loss"].steps.tolist() == [1, 2, 3]
    assert np.isnan(run.series["train/loss"].values[2])


def test_an_empty_cell_is_missing_and_nan_is_a_value(reads: Reads) -> None:
    (run,) = reads("step,loss,grad_norm\n1,3.0,\n2,,1.0\n3,nan,1.5\n4,inf,\n")
    assert run.series["train/loss"].steps.tolist() == [1, 3, 4]
    assert run.series["train/grad_norm"].steps.tolist() == [2, 3]


def test_epochs_serve_as_steps_and_that_is_said(reads: Reads) -> None:
    (run,) = reads("epoch,loss,val_loss\n" + "".join(f"{i},2.0,2.1\n" for i in range(8)))
    assert run.series["eval/loss"].steps.tolist() == list(range(8))
    assert any("epochs" in note for note in run.notes)


def test_runs_of_one_chart_are_runs(reads: Reads) -> None:
    head = '"Step","sun-1 - train/loss","sun-1 - train/loss__MIN","moon-2 - train/loss"\n'
    runs = reads(head + "".join(f'"{i}","{3.0 - i / 9}","0","{2.0 - i / 9}"\n' for i in range(9)))
    assert [run.id for run in runs] == ["sun-1", "moon-2"]
    assert [float(run.series["train/loss"].values[0]) for run in runs] == [3.0, 2.0]


def test_a_name_that_stands_twice_is_two_columns(reads: Reads) -> None:
    (run,) = reads("step,loss,loss\n1,3.0,9.0\n2,2.0,9.0\n")
    assert run.series["train/loss"].values.tolist() == [3.0, 2.0]


def test_a_fraction_is_no_step(reads: Reads) -> None:
    (run,) = reads("update,loss\n" + "".join(f"{i / 100},{3 - i / 10}\n" for i in range(20)))
    assert len(run.series["train/loss"]) == 20


@pytest.mark.parametrize(
    "text",
    ["step,loss\n", "step\n1\n2\n", "text,label\nhello,pos\nbye,neg\n", "a,b\n1,2\n\0\0\0,\0\n"],
)
def test_what_is_no_log_is_one_clear_error(reads: Reads, text: str) -> None:
    with pytest.raises(ReadError) as error:
        reads(text)
    assert "\n" not in str(error.value)


def test_a_million_columns_are_refused(reads: Reads) -> None:
    with pytest.raises(ReadError):
        reads(",".join(f"c{i}" for i in range(20_000)) + "\n" + ",".join("1" * 20_000) + "\n")


def test_the_quick_and_the_exact_way_agree(reads: Reads) -> None:
    rows = [f"{i},{1 / (i + 1)!r}," + (f"{i * 0.5}" if i % 3 else "") for i in range(5000)]
    text = "step,loss,grad_norm\n" + "\n".join(rows) + "\n"
    (quick,) = reads(text)
    (exact,) = reads(text.replace("4,0.2,2.0", '4,"0.2",2.0'))
    for name, series in quick.series.items():
        assert np.array_equal(series.values, exact.series[name].values)
        assert np.array_equal(series.steps, exact.series[name].steps)
