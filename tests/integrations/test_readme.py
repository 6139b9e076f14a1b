"""The Python blocks of README.md can be pasted: each is run as it stands, on a tiny model."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


def block(holding: str) -> str:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [text for text in blocks if holding in text]
    return str(found)


def test_there_is_no_block_that_is_not_run() -> None:
    assert README.read_text(encoding="utf-8").count("```python") == 3


def test_a_loop_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    losses = [2 - 0.01 * step for step in range(40)] + [math.nan] * 3
    exec(block("Monitor"), {"losses": losses})
    assert capsys.readouterr().out.startswith("raised NUM001 ")


@pytest.mark.slow
def test_transformers_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("accelerate")
    from tests.integrations.tiny import Counting, model

    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"model": model(), "rows": Counting(480)}
    exec(block("transformers"), names)
    assert names["trainer"].state.global_step == 60
    said = capsys.readouterr()
    assert "advise: the run is" in said.out + said.err


@pytest.mark.integration
def test_lightnings_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightning")
    from torch.utils.data import DataLoader

    from tests.integrations.test_lightning import Counter
    from tests.integrations.tiny import Counting

    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "module": Counter(5e-3), "loader": DataLoader(Counting(480), batch_size=8)
    }  # fmt: skip
    exec(block("lightning"), names)
    assert names["trainer"].global_step == 60
