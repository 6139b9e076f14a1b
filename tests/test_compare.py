"""Comparing runs: rows at the same steps, marks, differing keys, and the pick."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.compare.loss_table import ROWS
from advisor.compare.runs import Comparison, compare, labels_of
from advisor.readers.discover import read_runs
from advisor.rulebook.cases import make_run
from advisor.rulebook.load import load_rules
from advisor.run import Config, Run, Series

FALL = "3>1.2x10"


def run(
    name: str,
    held: str = FALL,
    every: int = 20,
    config: Mapping[str, object] | None = None,
    train: str = "3>1.2x200",
) -> Run:
    series = {"train/loss": train, "eval/loss": held} if held else {"train/loss": train}
    made = make_run(series, every={"eval/loss": every} if held else {}, config=config, name=name)
    return dataclasses.replace(made, path=f"out/{name}/training.jsonl")


RULES = load_rules()


def compared(*runs: Run) -> Comparison:
    return compare(runs, RULES)


def values_at(comparison: Comparison, step: int) -> list[float | None]:
    row = next(row for row in comparison.rows if row.step == step)
    return [cell.value for cell in row.cells]


def test_each_run_stands_in_its_column_at_the_same_steps() -> None:
    done = compared(run("a", "3 2 1.5"), run("b", "2 1.8 1.7"))
    assert [row.step for row in done.rows] == [20, 40, 60]
    assert values_at(done, 40) == [2.0, 1.8]
    assert [c.label for c in done.contestants] == ["a", "b"]


def test_the_lowest_of_each_step_is_marked() -> None:
    done = compared(run("a", "3 2 1.5"), run("b", "2 1.8 1.7"))
    assert [[cell.best for cell in row.cells] for row in done.rows] == [
        [False, True], [False, True], [True, False],
    ]  # fmt: skip


def test_a_rise_beyond_the_noise_is_marked_and_a_wobble_is_not() -> None:
    done = compared(run("a", "3>1.2x8 1.2+0.15x8"), run("b", "3>1.2~0.01x8 1.2~0.01x8"))
    risen, steady = ([row.cells[i].rising for row in done.rows] for i in (0, 1))
    assert any(risen[-3:]) and not any(risen[:5])
    assert not any(steady)


def test_grids_that_count_from_0_and_from_1_are_one() -> None:
    late = run("b", "2 1.8 1.7")
    held = late.series["eval/loss"]
    shifted = dataclasses.replace(held, steps=held.steps - 1)
    late = dataclasses.replace(late, series={**late.series, "eval/loss": shifted})
    done = compared(run("a", "3 2 1.5"), late)
    assert [row.step for row in done.rows] == [20, 40, 60]
    assert not any(cell.interpolated for row in done.rows for cell in row.cells)


def test_between_two_evaluations_the_line_through_them_serves_and_is_marked() -> None:
    done = compared(run("a", "3 2 1", every=20), run("b", "3 2.8 2.6 2.4 2.2 2", every=10))
    row = next(row for row in done.rows if row.step == 30)
    assert row.cells[0].value == 2.5 and row.cells[0].interpolated
    assert not row.cells[1].interpolated


def test_a_run_has_no_value_before_its_first_and_after_its_last_evaluation() -> None:
    done = compared(run("a", "3 2 1", every=20), run("b", "3>2x12", every=10))
    assert values_at(done, 10)[0] is None
    assert values_at(done, 120)[0] is None


def test_long_tables_are_thinned_to_what_is_read_at_a_glance() -> None:
    done = compared(run("a", "3>1x200", every=5), run("b", "3>1.2x200", every=5))
    assert len(done.rows) <= ROWS
    assert done.rows[-1].step == 1000


def test_without_any_validation_the_training_loss_is_shown_and_that_is_said() -> None:
    done = compared(run("a", ""), run("b", "", train="3>1.5x200"))
    assert done.series == "train/loss"
    assert "no run has a validation loss" in done.notes[0]
    assert done.pick.index == 0


def test_the_lowest_loss_at_the_last_common_step_wins() -> None:
    done = compared(run("a", "3>1.2x10"), run("b", "3>1.5x10"))
    assert (done.pick.index, done.pick.clear, done.pick.step) == (0, True, 200)
    assert done.pick.margin is not None and math.isclose(done.pick.margin, 0.3, rel_tol=0.05)


def test_an_early_lead_does_not_win() -> None:
    done = compared(run("fast", "1.4>0.9x5 1.0+0.1x8"), run("slow", "2>0.8x13"))
    assert done.pick.index == 1 and done.pick.clear


def test_what_lies_within_the_noise_has_no_clear_winner() -> None:
    done = compared(run("a", "3>1.2~0.02x20"), run("b", "3>1.2~0.02x20"))
    assert not done.pick.clear
    assert done.pick.why.startswith("no clear winner: ")


def test_of_equals_the_one_that_was_there_earlier_is_named() -> None:
    held = np.array([3, 1.2, 1.2, 1.2, 1.2, 1.2]), np.array([3, 2.5, 2, 1.5, 1.2, 1.2])
    early, late = (with_evals(run(n), v) for n, v in zip("ab", held, strict=True))
    done = compared(late, early)
    assert not done.pick.clear and done.pick.index == 1
    assert "earlier: there at step 40" in done.pick.why


def with_evals(made: Run, values: Sequence[float] | np.ndarray) -> Run:
    steps = np.arange(1, len(values) + 1, dtype=np.int64) * 20
    series = Series("eval/loss", steps, np.asarray(values, dtype=np.float64))
    return dataclasses.replace(made, series={**made.series, "eval/loss": series})


def test_of_equals_the_cheaper_one_is_named_where_both_tell_their_time() -> None:
    runs = []
    for name, seconds in (("slow", 10.0), ("quick", 1.0)):
        made = run(name, "3>1.2x10")
        loss = made.series["train/loss"]
        timed = dataclasses.replace(loss, times=loss.steps * seconds)
        runs.append(dataclasses.replace(made, series={**made.series, "train/loss": timed}))
    done = compared(*runs)
    assert done.pick.index == 1 and "cheaper: 199 s against 1990 s" in done.pick.why


def test_a_run_that_became_nan_cannot_win() -> None:
    sick = with_evals(run("sick"), [2, 1, 0.5, math.nan, math.nan])
    done = compared(sick, run("well", "3>1.2x5"))
    assert done.pick.index == 1


def test_a_run_that_ended_early_is_not_ranked_and_does_not_cut_the_others_short() -> None:
    done = compared(run("cut", "0.5 0.5"), run("a", "3>1.2x10"), run("b", "3>1.5x10"))
    assert (done.pick.index, done.pick.step) == (1, 200)
    assert any("cut: ends at step 40" in note for note in done.notes)


def test_losses_of_reward_training_rank_nothing() -> None:
    runs = [dataclasses.replace(run(name, ""), facts={"objective": "rl"}) for name in ("a", "b")]
    assert compared(*runs).pick.index is None


def test_only_keys_that_differ_are_listed() -> None:
    done = compared(
        run("a", config={"optimizer.lr": 1e-5, "peft.dim": 8}),
        run("b", config={"optimizer.lr": 5e-5, "peft.dim": 8}),
    )
    assert [(d.key, d.values) for d in done.differs] == [("optimizer.lr", (1e-5, 5e-5))]


def test_seeds_that_differ_are_a_warning_under_the_rules_code() -> None:
    done = compared(run("a", config={"rng.seed": 1}), run("b", config={"rng.seed": 2}))
    (finding,) = done.findings
    assert (finding.code, finding.severity, finding.guide) == ("LT010", "warning", ("seed",))
    assert "a 1, b 2" in finding.message
    alike = compared(run("a", config={"rng.seed": 1}), run("b", config={"rng.seed": 1}))
    assert alike.findings == ()


def test_a_seed_that_is_not_stated_is_no_other_seed() -> None:
    assert compared(run("a", config={"rng.seed": 1}), run("b")).findings == ()


def test_other_validation_sets_make_the_comparison_void() -> None:
    key = "validation_dataset.path_or_dataset_id"
    done = compared(run("a", config={key: "x"}), run("b", config={key: "y"}))
    assert "validation sets differ" in done.void
    assert done.pick.index is None and done.void in done.pick.why


def test_other_training_data_make_it_void_too() -> None:
    key = "dataset.path_or_dataset_id"
    assert (
        "training data differ"
        in compared(run("a", config={key: "x"}), run("b", config={key: "y"})).void
    )


def test_loader_settings_of_the_data_do_not_make_it_void() -> None:
    config = {"dataset.path_or_dataset_id": "x", "dataset.seq_length": 512}
    done = compared(run("a", config=config), run("b", config={**config, "dataset.seq_length": 1}))
    assert done.void == "" and done.differs[0].key == "dataset.seq_length"


def test_another_global_batch_is_pointed_out() -> None:
    key = "step_scheduler.global_batch_size"
    done = compared(run("a", config={key: 16}), run("b", config={key: 32}))
    assert any("global batch differs" in note for note in done.notes)


def test_files_are_compared_beyond_the_keys_we_know_and_secrets_stay_hidden(
    tmp_path: Path,
) -> None:
    runs = []
    for name, template, token in (("a", "llama3", "hf_one"), ("b", "qwen", "hf_two")):
        path = tmp_path / f"{name}.yaml"
        path.write_text(
            f"template: {template}\nhub_token: {token}\noutput_dir: {name}\nlearning_rate: 1e-4\n"
        )
        config = Config({"optimizer.lr": 1e-4}, {}, "transformers", str(path))
        runs.append(dataclasses.replace(run(name), config=config))
    found = {d.native_key: d.values for d in compared(*runs).differs}
    assert found == {"template": ("llama3", "qwen"), "hub_token": ("<redacted>", "<redacted>")}


def test_labels_are_what_the_paths_do_not_share() -> None:
    paths = ["o/lr1/x/trainer_state.json", "o/lr2/x/trainer_state.json"]
    assert labels_of([Run(p, "f", {}) for p in paths]) == ["lr1", "lr2"]
    logs = ["o/a.csv", "o/b.csv"]
    assert labels_of([Run(p, "f", {}) for p in logs]) == ["a.csv", "b.csv"]
    one = [Run("o/a.csv", "f", {}, id=i) for i in ("1", "2")]
    assert labels_of(one) == ["a.csv 1", "a.csv 2"] or labels_of(one) == ["o 1", "o 2"]


losses = st.lists(st.floats(0.1, 10) | st.just(math.nan), min_size=1, max_size=30)


@given(st.lists(losses, min_size=2, max_size=4))
@settings(deadline=None, max_examples=60)
def test_whatever_the_curves_the_pick_is_the_lowest_or_says_why_not(
    curves: list[list[float]],
) -> None:
    runs = [with_evals(run(f"r{i}", train="2x5"), v) for i, v in enumerate(curves)]
    done = compared(*runs)
    assert len(done.rows) <= ROWS
    assert done.pick.why
    by_step = not done.pick.why.startswith("lengths differ")
    if done.pick.clear and done.pick.index is not None and by_step:
        row = next(row for row in done.rows if row.step == done.pick.step)
        ranked = [
            cell.value for cell, curve in zip(row.cells, curves, strict=True)
            if cell.value is not None and math.isfinite(cell.value)
            and 2 * len(curve) >= max(map(len, curves))
        ]  # fmt: skip
        assert row.cells[done.pick.index].value == min(ranked)


def test_runs_of_quite_different_length_are_ranked_by_the_lowest_that_each_reached() -> None:
    long = with_evals(run("long", train="2x5"), [3.0, 2.0, 1.9, 2.2, 2.5, 2.7, 2.8, 2.9])
    short = with_evals(run("short", train="2x5"), [2.4, 1.5, 1.2])
    pick = compared(long, short).pick
    assert pick.index == 1 and pick.clear and pick.why.startswith("lengths differ")


def test_lists_of_modules_in_another_order_are_the_same() -> None:
    first = run("a", train="2x5", config={"peft.target_modules": ["q_proj", "v_proj"]})
    second = run("b", train="2x5", config={"peft.target_modules": ["v_proj", "q_proj"]})
    assert compared(first, second).differs == ()


# one that overfits from its first evaluation on
RISING = [4.16, 4.25, 4.34, 4.54, 4.75, 4.91, 5.05, 5.13, 5.17]


def ended(made: Run, planned: int) -> Run:
    facts = {**made.facts, "max_steps": planned, "global_step": planned}
    return dataclasses.replace(made, facts=facts)


def test_a_run_with_two_evaluations_that_ended_on_purpose_is_ranked() -> None:
    long = ended(with_evals(run("long", train="2x5"), RISING), 180)
    short = ended(with_evals(run("short", train="2x5"), [4.15, 4.02]), 40)
    done = compared(long, short)
    assert done.pick.index == 1 and done.pick.clear and done.pick.value == 4.02
    assert not any("too early" in note for note in done.notes)


def test_runs_that_end_apart_on_purpose_are_ranked_by_the_lowest_of_each() -> None:
    """At the last common step the longer one is in the middle of its schedule."""
    long = ended(with_evals(run("long", train="2x5"), [3.0, 2.5, 2.2, 1.9, 1.6, 1.2]), 120)
    short = ended(with_evals(run("short", train="2x5"), [3.0, 2.4, 2.0, 1.8]), 80)
    assert compared(long, short).pick.index == 0
    cut = dataclasses.replace(short, facts={"max_steps": 120})  # it ended too early: the same step
    assert compared(long, cut).pick.index == 1


def test_of_equals_of_different_length_the_shorter_one_is_named() -> None:
    long = ended(with_evals(run("long", train="2x5"), RISING), 180)
    short = ended(with_evals(run("short", train="2x5"), [4.3, 4.161]), 40)
    pick = compared(long, short).pick
    assert (pick.index, pick.clear, pick.step) == (1, False, 40)
    assert "is the shorter: 40 steps against 180" in pick.why


FEWER = Path(__file__).parents[2] / "shared/field/faults/compare-fewer-epochs"


@pytest.mark.skipif(not FEWER.is_dir(), reason="the field's inputs are not here")
def test_fewer_epochs_are_confirmed() -> None:
    runs = [read_runs(FEWER / name)[0] for name in ("old", "new")]
    pick = compared(*runs).pick
    assert pick.index == 1 and pick.clear


def test_a_rate_known_from_the_logs_alone_differs_only_beyond_what_they_show() -> None:
    def logged(name: str, rate: float) -> Run:
        made = run(name, train="2x5", config={"optimizer.lr": rate})
        return dataclasses.replace(
            made, config=Config({"optimizer.lr": rate}, {"optimizer.lr": "log"})
        )

    assert compared(logged("a", 1.92e-3), logged("b", 1.99e-3)).differs == ()
    assert compared(logged("a", 1e-3), logged("b", 2e-3)).differs[0].key == "optimizer.lr"
