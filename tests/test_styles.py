"""A value keeps the style and the comment column that it had, and no digit of binary arithmetic
reaches text, diff, JSON, flags or files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.config.attach import load_config
from advisor.dialects import tree as trees
from advisor.findings import Plan
from advisor.plan.apply import preview_edits
from advisor.plan.edits import round_off
from advisor.plan.make import make_plan, plan_snippet
from advisor.run import Config
from tests.cli.program import advise
from tests.plans import LR, finding, run_of, times

STYLES = {
    "exponent": ("{:.0e}", r"[1-9](\.\d+)?e[-+]?\d+"),
    "dotted exponent": ("{:.1e}", r"\d\.\d+e[-+]?\d+"),
    "capital exponent": ("{:.1E}", r"\d\.\d+E[-+]?\d+"),
    "decimal": ("{:.7f}", r"\d+\.\d+"),
}


def written(path: Path, plan: Plan, config: Config) -> str:
    done = preview_edits(path, plan, config)
    return done.new


NOISY = re.compile(r"\d(?:0{6,}|9{6,})\d")  # 0.0006000000000000001, 0.00029999999999999997
rates = st.tuples(st.integers(1, 9), st.integers(-6, -2)).map(lambda p: float(f"{p[0]}e{p[1]}"))
factors = st.sampled_from([0.1, 0.3, 0.4, 0.5, 1.5, 2.0, 2.5, 3.0, 5.0])
columns = st.integers(1, 6)


@given(rates, factors, st.sampled_from(sorted(STYLES)), columns, st.sampled_from(["lora", "full"]))
@settings(deadline=None, max_examples=150)
def test_a_rate_keeps_its_style_and_its_comment_where_it_stands(
    rate: float, by: float, style: str, gap: int, method: str
) -> None:
    form, pattern = STYLES[style]
    line = f"learning_rate: {form.format(rate)}{' ' * gap}# as of May"
    text = f"{line}\nfinetuning_type: {method}\nnum_train_epochs: 3\nstage: sft\n"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "llama.yaml"
        path.write_text(text)
        config = load_config(path)
        plan = make_plan([finding("A1", times(LR, by))], config, run_of())
        if plan.diff is None:
            assert not [e for e in plan.edits if e.resolved]
            return
        (edit,) = plan.edits
        applied = written(path, plan, config)
        shown = "\n".join(
            [plan.diff, *plan.overrides, json.dumps(edit.new), plan_snippet(plan, config, run_of())]
        )
    new = applied.splitlines()[0]
    value = new.partition(": ")[2].split()[0]
    assert re.fullmatch(pattern, value), value
    assert trees.cast(value) == edit.new == round_off(edit.new)
    grown = len(value) - len(form.format(rate))
    assert new.endswith("# as of May")
    assert gap <= grown or new.index("#") == line.index("#")
    assert f"+{new}" in plan.diff
    assert not NOISY.search(shown), shown
    assert applied.splitlines()[1:] == text.splitlines()[1:]


@given(rates, factors, st.sampled_from(["2e-4", "0.0002", "2.0e-4"]), st.integers(2, 4))
@settings(deadline=None)
def test_a_rate_in_json_keeps_its_style(rate: float, by: float, sample: str, indent: int) -> None:
    form = {"2e-4": "{:.0e}", "0.0002": "{:.7f}", "2.0e-4": "{:.1e}"}[sample]
    pattern = {"2e-4": r"[\d.]+e-?\d+", "0.0002": r"\d+\.\d+", "2.0e-4": r"\d\.\d+e-?\d+"}[sample]
    arguments = {"output_dir": "out", "learning_rate": 1, "per_device_train_batch_size": 8}
    text = json.dumps(arguments, indent=indent).replace(" 1,", f" {form.format(rate)},")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "args.json"
        path.write_text(text)
        config = load_config(path)
        plan = make_plan([finding("A1", times(LR, by))], config, run_of())
        if plan.diff is None:  # held by a bound
            return
        (edit,) = plan.edits
        applied = written(path, plan, config)
    value = applied.partition('"learning_rate": ')[2].partition(",")[0]
    assert re.fullmatch(pattern, value), value
    assert json.loads(applied) == {**arguments, "learning_rate": edit.new}
    assert not NOISY.search(applied)


@pytest.mark.parametrize(
    ("before", "after"),
    [("0.0002   # peak", "0.00006  # peak"), ("2e-4 # peak", "6e-5 # peak"),
     ("2.5e-4 # peak", "7.5e-5 # peak"), ("0.001  # peak", "0.0003 # peak"),
     ("0.00025 # peak", "0.000075 # peak")],
)  # fmt: skip
def test_the_column_of_a_comment_stays_where_there_is_room(before: str, after: str) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trl.yaml"
        rest = "\nnum_train_epochs: 3\nper_device_train_batch_size: 4\n"
        path.write_text(f"learning_rate: {before}{rest}")
        config = load_config(path)
        plan = make_plan([finding("A1", times(LR, 0.3))], config, run_of())
        assert written(path, plan, config) == f"learning_rate: {after}{rest}"


def test_what_a_command_shows_and_writes_has_no_digits_of_arithmetic(tmp_path: Path) -> None:
    """A rate that a bound holds at three times the range: 3 x 0.0002 is 0.0006."""
    (tmp_path / "train.yaml").write_text(
        "learning_rate: 0.0004  # peak\nfinetuning_type: lora\nnum_train_epochs: 3\nstage: sft\n"
        "per_device_train_batch_size: 4\n"
    )
    rows = [{"step": i, "loss": 2.5 + 0.01 * (i % 3), "learning_rate": 4e-4, "epoch": i / 70}
            for i in range(1, 201)]  # fmt: skip
    state = {"log_history": rows, "global_step": 200, "max_steps": 200, "num_train_epochs": 3}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    done = advise("check", tmp_path, "--format", "json", "--exit-zero")
    (run,) = json.loads(done.stdout)["runs"]
    edit = next(e for e in run["plan"]["edits"] if e["key"] == LR)
    assert (edit["from"], edit["to"]) == (0.0004, 0.0006)
    assert "+learning_rate: 0.0006  # peak" in run["plan"]["diff"]
    text = advise("check", tmp_path, "--exit-zero").stdout
    fixed = advise("fix", tmp_path, "--diff").stdout
    for shown in (done.stdout, text, fixed):
        assert "0.0006" in shown and not NOISY.search(shown)
