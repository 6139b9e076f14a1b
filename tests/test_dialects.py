"""Dialects: text changes only where a value does, and reads back as what was written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.dialects import DIALECTS, dialect_of, sniff
from advisor.dialects import tree as trees
from advisor.dialects.change import KeyChange
from advisor.dialects.document import rewrite
from advisor.dialects.keys import KINDS
from advisor.dialects.scalars import scalar
from advisor.errors import ConfigError, EditError
from advisor.findings import Edit

FIXTURES = Path(__file__).parent / "fixtures" / "configs"
YAML = Path("config.yaml")


def done(key: str, new: object, old: object = None) -> Edit:
    return Edit(key, "set", None, old=old, new=new, resolved=True)  # type: ignore[arg-type]


def write(name: str, *edits: Edit) -> tuple[str, str]:
    path = FIXTURES / name
    text = path.read_text()
    tree = trees.parse(text, path)
    dialect = sniff(tree)
    assert dialect is not None
    return text, dialect.write(text, path, edits, {}, tree)


def changed_lines(old: str, new: str) -> list[str]:
    before = old.splitlines()
    return [line for line in new.splitlines() if line not in before]


def test_a_value_changes_and_its_comment_stays() -> None:
    old, new = write("automodel.yaml", done("optimizer.lr", 6e-5))
    assert changed_lines(old, new) == ["  lr: 6.0e-5   # peak"]
    assert len(old.splitlines()) == len(new.splitlines())


def test_an_empty_section_is_filled() -> None:
    old, new = write("automodel.yaml", done("clip_grad_norm.max_norm", 1.0))
    assert "clip_grad_norm:\n  max_norm: 1.0\n\npeft:" in new
    assert changed_lines(old, new) == ["  max_norm: 1.0"]


def test_a_missing_key_goes_to_the_end_of_its_section() -> None:
    _, new = write("automodel.yaml", done("peft.dropout", 0.05))
    assert "  alpha: 32\n  dropout: 0.05\n\ndataset:" in new


def test_a_missing_section_goes_to_the_end_of_the_file() -> None:
    _, new = write("automodel.yaml", done("distributed_config.activation_checkpointing", True))
    assert new.endswith("rng: {seed: 7}\ndistributed_config:\n  activation_checkpointing: true\n")


def test_a_flow_section_takes_values_too() -> None:
    _, new = write("automodel.yaml", done("rng.seed", 8))
    assert "rng: {seed: 8}" in new


def test_an_item_joins_a_list_and_comments_between_items_stay() -> None:
    targets = ["*.q_proj", "*.v_proj", "*.k_proj"]
    _, new = write("automodel.yaml", done("peft.target_modules", targets))
    assert '    # values too\n    - "*.v_proj"\n    - "*.k_proj"\n  dim: 16' in new


def test_full_to_lora_writes_the_adapter_section() -> None:
    text = "step_scheduler:\n  num_epochs: 1\noptimizer:\n  lr: 1.0e-05\n"
    automodel = dialect_of("automodel")
    assert automodel is not None
    tree = trees.parse(text, YAML)
    new = automodel.write(text, YAML, [done("method", "lora")], {}, tree)
    assert automodel.read(trees.parse(new, YAML))["method"] == "lora"
    assert "match_all_linear: true" in new


def test_json_keeps_its_indentation() -> None:
    old, new = write("args.json", done("optimizer.lr", 6e-5), done("optimizer.weight_decay", 0.01))
    assert changed_lines(old, new) == [
        '    "learning_rate": 0.00006,',
        '    "hub_token": "hf_abcdefghijklmnopqrst",',
        '    "weight_decay": 0.01',
    ]
    assert json.loads(new)["learning_rate"] == 6e-5


def test_json_with_tabs_is_written_too() -> None:
    text = '{\n\t"learning_rate": 0.1,\n\t"num_train_epochs": 1\n}\n'
    new = rewrite(text, Path("args.json"), [KeyChange(("learning_rate",), 0.05)])
    assert json.loads(new)["learning_rate"] == 0.05
    assert "\n\t" in new


def test_the_global_batch_is_written_as_accumulation() -> None:
    _, new = write("args.json", done("step_scheduler.global_batch_size", 32, 16))
    assert '"gradient_accumulation_steps": 4' in new


def test_bf16_takes_the_place_of_fp16() -> None:
    _, new = write("args.json", done("precision.amp", "bf16", "fp16"))
    assert json.loads(new)["fp16"] is False
    assert json.loads(new)["bf16"] is True


def test_warmup_steps_silence_a_ratio_of_unknown_steps() -> None:
    _, new = write("sft.yaml", done("lr_scheduler.lr_warmup_steps", 20))
    assert "warmup_ratio: 0.0" in new
    assert "warmup_steps: 20" in new


def test_the_files_own_name_of_a_key_is_used() -> None:
    _, new = write("sft.yaml", done("peft.dim", 16))
    assert "lora_rank: 16" in new


def test_an_adapters_key_is_not_put_among_training_arguments() -> None:
    old, new = write("args.json", done("peft.dim", 16))
    assert new == old


def test_a_floor_for_a_schedule_without_one_is_not_written() -> None:
    old, new = write("args.json", done("lr_scheduler.min_lr", 1e-6))
    assert new == old


def test_overrides_speak_each_trainers_language() -> None:
    edits = [done("optimizer.lr", 6e-5)]
    flags = {d.NAME: d.overrides(edits, {}, {}) for d in DIALECTS}
    assert flags["automodel"] == ["--optimizer.lr", "6e-05"]
    assert flags["transformers"] == ["--learning_rate", "6e-05"]


def test_keyword_arguments_are_python() -> None:
    transformers = dialect_of("transformers")
    assert transformers is not None
    edits = [done("optimizer.lr", 6e-5), done("peft.dim", 16), done("lr_scheduler.min_lr", 1e-6)]
    text = transformers.snippet(edits, {"lr_scheduler.lr_decay_style": "cosine"})
    assert "TrainingArguments(\n    learning_rate=6e-05,\n" in text
    assert "LoraConfig(\n    r=16,\n" in text
    assert "lr_scheduler_kwargs={'min_lr': 1e-06}" in text


def test_an_alias_is_replaced_where_it_stands() -> None:
    text = "base: &b 1.0e-4\noptimizer:\n  lr: *b  # shared\n"
    new = rewrite(text, YAML, [KeyChange(("optimizer", "lr"), 2e-5)])
    assert new == "base: &b 1.0e-4\noptimizer:\n  lr: 2.0e-05  # shared\n"


def test_an_anchor_stays_at_its_value() -> None:
    new = rewrite("lr: &b 1.0e-4 # x\nmax_lr: *b\n", YAML, [KeyChange(("lr",), 2e-5)])
    assert new == "lr: &b 2.0e-5 # x\nmax_lr: *b\n"


def test_windows_line_ends_stay() -> None:
    text = "optimizer:\r\n  lr: 1.0e-4\r\nmodel:\r\n  a: 1\r\n"
    new = rewrite(text, YAML, [KeyChange(("optimizer", "eps"), 1e-8), KeyChange(("x", "k"), 1)])
    assert new == (
        "optimizer:\r\n  lr: 1.0e-4\r\n  eps: 1.0e-08\r\nmodel:\r\n  a: 1\r\nx:\r\n  k: 1\r\n"
    )


def test_a_file_without_a_last_line_end_is_continued() -> None:
    assert rewrite("a: 1", YAML, [KeyChange(("b",), 2)]) == "a: 1\nb: 2\n"
    assert rewrite("", YAML, [KeyChange(("b", "c"), 2)]) == "b:\n  c: 2\n"


def test_what_cannot_be_written_is_said() -> None:
    with pytest.raises(EditError, match=r"config\.yaml"):
        rewrite("a: 1\n", YAML, [KeyChange(("a", "b"), 2)])
    with pytest.raises(EditError):
        rewrite("a:\n  b: 1\n", YAML, [KeyChange(("a",), 2)])
    with pytest.raises(ConfigError, match=r"config\.yaml:2"):
        rewrite("a: 1\n---\na: 2\n", YAML, [KeyChange(("a",), 2)])


def test_every_dialect_answers_for_every_key() -> None:
    for dialect in DIALECTS:
        assert set(dialect.KEYS) >= set(KINDS)
        assert all(isinstance(dialect.native_path(key, {}), str) for key in KINDS)


numbers = st.one_of(st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False))
texts = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=12)


@given(st.one_of(numbers, st.booleans(), texts, st.lists(st.one_of(numbers, texts), max_size=3)))
def test_every_value_reads_back_as_what_was_written(value: object) -> None:
    tree = trees.parse(f"key: {scalar(value)}\n", YAML)
    found = tree["key"]
    if isinstance(value, str):
        assert found == trees.cast(value)
    elif isinstance(value, list):
        assert found == [trees.cast(v) if isinstance(v, str) else v for v in value]
    else:
        assert found == value
        assert type(found) is type(value)


keys = st.sampled_from(["optimizer.lr", "peft.dim", "rng.seed", "a.b.c", "step_scheduler.x", "z"])


@given(st.lists(st.tuples(keys, numbers), min_size=1, max_size=4, unique_by=lambda p: p[0]))
@settings(deadline=None, max_examples=40)
def test_writing_twice_changes_nothing_more(pairs: list[tuple[str, float]]) -> None:
    text = (FIXTURES / "automodel.yaml").read_text()
    changes = [KeyChange(tuple(key.split(".")), value) for key, value in pairs]
    once = rewrite(text, YAML, changes)
    assert rewrite(once, YAML, changes) == once
    kept = [line for line in text.splitlines() if "#" in line]
    assert all(line.split("#")[1] in once for line in kept)
