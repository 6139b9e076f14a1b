"""A dry run tells what would happen, and trains nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.launch import main

FULL = Path(__file__).resolve().parents[2] / "fixtures" / "train" / "full.yaml"


@pytest.fixture
def said(
    local: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> object:
    """Run a dry run with some overrides; return its status and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        flags = ["--dry-run", "--model.pretrained_model_name_or_path", str(local.model)]  # type: ignore[attr-defined]
        for section in ("dataset", "validation_dataset"):
            flags += [f"--{section}.path_or_dataset_id", str(local.rows)]  # type: ignore[attr-defined]
        status = main([str(FULL), *flags, *words], {})
        assert not list(tmp_path.iterdir())
        shown = capsys.readouterr()
        return status, shown.out + shown.err

    return run


def test_steps_tokens_rates_and_weights_are_told(said: object) -> None:
    status, text = said("--step_scheduler.max_steps", "null", "--peft.dim", "4")  # type: ignore[operator]
    assert status == 0
    assert "steps: 20 in all, 2 an epoch" in text and "16 rows = 2 x 8 micro-batches" in text
    assert "data: 24 samples" in text and "validation: 24 samples" in text
    assert "3e-07 at the start, 3e-06 after 2 steps, 3e-07 at the end (cosine)" in text
    assert "trained (lora)" in text and "step_scheduler.num_epochs: 10" in text


def test_a_warm_up_that_is_too_long_is_told(said: object) -> None:
    status, text = said("--lr_scheduler.lr_warmup_steps", "500")  # type: ignore[operator]
    assert status == 0 and "never reaches its full rate" in text


def test_a_pattern_without_a_module_is_one_line(said: object) -> None:
    status, text = said("--peft.target_modules", "[nope_proj]")  # type: ignore[operator]
    assert status == 2 and "q_proj" in text.splitlines()[-1]
