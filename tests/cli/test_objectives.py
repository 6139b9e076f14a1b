"""Preference and policy runs: judged by what a rule measures, and told what was left out."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import advise, asked

Row = Mapping[str, object]


def written(folder: Path, row: Callable[[int, random.Random], Row], count: int = 60) -> Path:
    draw = random.Random(7)
    lines = (json.dumps({"step": i, **row(i, draw)}) for i in range(1, count + 1))
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def judged(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    _, whole = asked(folder)
    (run,) = whole["runs"]
    whys = {row["code"]: row["why"] for row in run["checks"]["not_judged"]}
    return run, whys


def symptoms(run: dict[str, Any]) -> set[str]:
    return {f["symptom"] for f in run["findings"] if f["severity"] != "info"}


def pairs(loss: float, margin: float, norm: float) -> Row:
    told = {"rewards/chosen": margin / 2, "rewards/rejected": -margin / 2}
    return {"loss": loss, "grad_norm": norm, "rewards/margins": margin, **told}


def frozen(i: int, draw: random.Random) -> Row:
    return pairs(0.6934, 0.0, 0.0)


def broken(i: int, draw: random.Random) -> Row:
    return pairs(0.0 if i > 30 else 0.6, 0.1, float("nan") if i > 30 else 1.0)


def exploding(i: int, draw: random.Random) -> Row:
    fall = max(0.3, 0.69 - 0.01 * i) if i < 40 else 0.3 + 0.25 * (i - 39)
    return pairs(fall + draw.gauss(0, 0.01), 0.02 * i, 1.0 + draw.random())


def healthy(i: int, draw: random.Random) -> Row:
    return pairs(0.693 - 0.004 * i + draw.gauss(0, 0.01), 0.02 * i, 2 + draw.random())


def odds(i: int, draw: random.Random) -> Row:
    return {**frozen(i, draw), "log_odds_ratio": -0.69, "nll_loss": 1.2}


def desirable(i: int, draw: random.Random) -> Row:
    return {"loss": 0.5, "grad_norm": 0.0, "kl": 0.0, "rewards/chosen": 0.0, "logps/chosen": -20.0}


def scores(i: int, draw: random.Random) -> Row:
    spread = {"min_reward": -1.0, "mean_reward": 0.0, "max_reward": 1.0}
    return {"loss": 0.6931, "grad_norm": 0.0, "accuracy": 0.5, **spread}


@pytest.mark.parametrize("row", [frozen, odds, desirable, scores], ids=["dpo", "orpo", "kto", "rm"])
def test_a_preference_run_without_gradients_has_no_signal(
    row: Callable[[int, random.Random], Row], tmp_path: Path
) -> None:
    run, _ = judged(written(tmp_path, row))
    assert run["status"] == "failing"
    assert symptoms(run) == {"no_signal"}


def test_a_hidden_nan_of_a_preference_run_is_found(tmp_path: Path) -> None:
    run, _ = judged(written(tmp_path, broken))
    assert "nonfinite" in symptoms(run)


def test_a_preference_loss_that_leaves_its_best_for_good_diverges(tmp_path: Path) -> None:
    run, _ = judged(written(tmp_path, exploding))
    assert "divergence" in symptoms(run)


def test_a_validation_of_preferences_that_rises_is_told(tmp_path: Path) -> None:
    def row(i: int, draw: random.Random) -> Row:
        held = (
            {"eval_loss": 0.69 - 0.02 * min(i, 20) / 2 + max(0, i - 20) * 0.012}
            if i % 6 == 0
            else {}
        )
        return {**healthy(i, draw), **held}

    run, _ = judged(written(tmp_path, row))
    assert "overfit" in symptoms(run)


def test_a_healthy_preference_run_is_not_alarmed_and_says_what_was_left_out(tmp_path: Path) -> None:
    folder = written(tmp_path, healthy)
    run, whys = judged(folder)
    assert not symptoms(run)
    assert run["status"] == "ok"
    for code in ("LR001", "LR004", "PR005"):
        assert "preference training" in whys[code], (code, whys.get(code))
    assert "the loss of preference training" in advise("check", folder).stdout


def policy(i: int, draw: random.Random) -> Row:
    """As trl's GRPO: the loss begins at 0 and rises with the KL."""
    reward = 0.1 + 0.01 * i + draw.gauss(0, 0.03)
    shown = {"reward": reward, "reward_std": 0.3 + 0.05 * draw.random(), "kl": 0.002 * i}
    return {
        "loss": 0.0001 * i + draw.gauss(0, 1e-5),
        "grad_norm": 0.3 + 0.1 * draw.random(),
        **shown,
    }


def test_a_policy_whose_loss_rises_from_zero_is_healthy(tmp_path: Path) -> None:
    folder = written(tmp_path, policy)
    run, whys = judged(folder)
    assert not symptoms(run)
    assert run["status"] == "ok"
    assert "policy training" in whys["LR007"] and "policy training" in whys["NUM006"]
    assert "the loss of policy training" in advise("check", folder).stdout


def test_groups_without_an_advantage_are_told(tmp_path: Path) -> None:
    def row(i: int, draw: random.Random) -> Row:
        return {**policy(i, draw), "reward": 0.0, "reward_std": 0.0}

    run, _ = judged(written(tmp_path, row))
    assert "no_signal" in symptoms(run)
    assert run["findings"][0]["causes"][0]["cause"] == "no_advantage"


def test_a_policy_with_gradients_of_zero_has_no_signal(tmp_path: Path) -> None:
    def row(i: int, draw: random.Random) -> Row:
        return {"loss": 0.0, "grad_norm": 0.0, "reward": 0.0, "reward_std": 0.0, "kl": 0.0}

    run, _ = judged(written(tmp_path, row))
    assert run["status"] == "failing"
    assert symptoms(run) == {"no_signal"}


def test_a_policy_that_loses_its_reward_for_good_is_told(tmp_path: Path) -> None:
    def row(i: int, draw: random.Random) -> Row:
        reward = 0.1 + 0.02 * i if i < 36 else 0.12
        return {**policy(i, draw), "reward": reward + draw.gauss(0, 0.02)}

    run, _ = judged(written(tmp_path, row))
    assert "PO002" in {f["code"] for f in run["findings"]}


def test_a_few_points_are_no_all_clear(tmp_path: Path) -> None:
    run, _ = judged(written(tmp_path, lambda i, draw: {"loss": 2 - 0.1 * i}, 4))
    assert run["status"] == "unknown"
