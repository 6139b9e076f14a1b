"""Properties of writing: whatever the config and the plan, only what was meant changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from advisor.base.numbers import same
from advisor.dialects import Dialect, dialect_of
from advisor.dialects import tree as trees
from advisor.dialects.scalars import like, scalar
from advisor.findings import Edit

YAML_FILE, JSON_FILE = Path("config.yaml"), Path("args.json")
rates = st.sampled_from(("2.0e-4", "2e-4", "0.0002", '"2e-4"', "'2.0e-4'", "2.0E-4", "1.0e-05"))
counts = st.integers(1, 64).map(str)
flags = st.sampled_from(("true", "false"))
words = st.sampled_from(("cosine", "linear", "'cosine'", '"x y"'))
KNOWN = {
    "automodel": {
        "optimizer.lr": rates,
        "optimizer.weight_decay": st.sampled_from(("0", "0.01", "0.1")),
        "step_scheduler.global_batch_size": counts,
        "step_scheduler.num_epochs": counts,
        "lr_scheduler.lr_warmup_steps": counts,
        "clip_grad_norm.max_norm": st.sampled_from(("1.0", "null", "")),
        "peft.dim": counts,
        "peft.dropout": st.just("0.05"),
    },
    "transformers": {
        "learning_rate": rates,
        "weight_decay": st.sampled_from(("0", "0.01")),
        "num_train_epochs": st.sampled_from(("3", "3.0")),
        "per_device_train_batch_size": counts,
        "gradient_accumulation_steps": counts,
        "warmup_steps": counts,
        "max_grad_norm": st.sampled_from(("1.0", "null")),
        "bf16": flags,
    },
}
SURE = "per_device_train_batch_size"
EDITS: dict[str, st.SearchStrategy[Any]] = {
    "optimizer.lr": st.floats(1e-7, 1e-2),
    "optimizer.weight_decay": st.sampled_from((0.0, 0.05, 0.1)),
    "step_scheduler.num_epochs": st.integers(1, 9),
    "lr_scheduler.lr_warmup_steps": st.integers(1, 900),
    "clip_grad_norm.max_norm": st.sampled_from((0.3, 1.0)),
    "dataloader.num_workers": st.integers(0, 8),
    "distributed_config.activation_checkpointing": st.booleans(),
}
comments = st.sampled_from(("", "  # keep: me", " # ünï ☃", "   #tight"))
other = st.one_of(counts, rates, flags, words, st.sampled_from(("[1, 2]", "{a: 1}", "~")))


@st.composite
def yaml_texts(draw: st.DrawFn, dialect: str) -> str:
    """Draw a config with its sections, comments, blank lines and strange keys in any order."""
    keys = draw(st.permutations(sorted(KNOWN[dialect])))
    keys = keys[: draw(st.integers(2, len(keys)))]
    if dialect == "transformers" and SURE not in keys:  # a file without it gets no new key
        keys = [*keys, SURE]
    step = draw(st.sampled_from((2, 4)))
    sections: dict[str, list[str]] = {}
    for key in keys:
        section, _, name = key.rpartition(".")
        value = draw(KNOWN[dialect][key])
        sections.setdefault(section, []).append(f"{name}: {value}{draw(comments)}")
    for number in range(draw(st.integers(0, 3))):
        section = draw(st.sampled_from((*sections, "mine")))
        sections.setdefault(section, []).append(f"own_{number}: {draw(other)}{draw(comments)}")
    lines: list[str] = []
    for section, inner in sections.items():
        lines += draw(st.sampled_from(([], [""], ["# a line of its own"], ["", "  # odd"])))
        indent = " " * step if section else ""
        lines += [f"{section}:{draw(comments)}"] if section else []
        lines += [indent + line for line in inner]
    end = draw(st.sampled_from(("\n", "\r\n")))
    text = end.join(lines) + draw(st.sampled_from(("", end, end + "# the end" + end)))
    return draw(st.sampled_from(("", "---" + end, "\ufeff"))) + text


plans = st.dictionaries(st.sampled_from(sorted(EDITS)), st.none(), min_size=1, max_size=4).flatmap(
    lambda chosen: st.fixed_dictionaries({key: EDITS[key] for key in chosen})
)


def edits_of(plan: Mapping[str, Any]) -> list[Edit]:
    return [Edit(key, "set", new, new=new, resolved=True) for key, new in plan.items()]


def leaves(tree: object, path: str = "") -> dict[str, object]:
    if not isinstance(tree, dict):
        return {path: tree}
    found: dict[str, object] = {}
    for name, value in tree.items():
        found |= leaves(value, f"{path}.{name}")
    return found


def check_written(dialect: Dialect, text: str, path: Path, plan: Mapping[str, Any]) -> str:
    """Write a plan, hold the result against what was meant, and return it."""
    bare = text.removeprefix("\ufeff")
    tree = trees.parse(bare, path)
    edits = edits_of(plan)
    new = dialect.write(text, path, edits, {}, tree)
    found = trees.parse(new.removeprefix("\ufeff"), path)
    values = dialect.read(found)
    for key, value in plan.items():
        assert same(values.get(key), value), (key, value, new)
    touched = {"." + ".".join(c.path) for c in dialect.changes(edits, dialect.read(tree), tree)}
    before, after = leaves(tree), leaves(found)
    for name in before.keys() | after.keys():
        inside = any(name == t or t.startswith(name + ".") for t in touched)
        assert inside or repr(before.get(name)) == repr(after.get(name)), (name, new)
    again = dialect.write(new, path, edits, {}, found)
    assert again == new
    return new


def check_yaml(name: str, text: str, plan: Mapping[str, Any]) -> None:
    dialect = dialect_of(name)
    assert dialect is not None
    new = check_written(dialect, text, YAML_FILE, plan)
    YAML(typ="safe", pure=True).load(new.removeprefix("\ufeff"))  # another reader takes it too
    kept = [line.split("#", 1)[1] for line in text.splitlines() if "#" in line]
    assert [line.split("#", 1)[1] for line in new.splitlines() if "#" in line] == kept
    assert ("\r\n" in text) == ("\r\n" in new) or "\n" not in text
    assert text.startswith("\ufeff") == new.startswith("\ufeff")


@given(yaml_texts("automodel"), plans)
@settings(deadline=None, max_examples=120)
def test_sections_of_yaml_change_only_where_meant(text: str, plan: dict[str, Any]) -> None:
    check_yaml("automodel", text, plan)


@given(yaml_texts("transformers"), plans)
@settings(deadline=None, max_examples=120)
def test_flat_arguments_in_yaml_change_only_where_meant(text: str, plan: dict[str, Any]) -> None:
    check_yaml("transformers", text, plan)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
own_names = st.text(min_size=1, max_size=8).map(lambda name: "own_" + name.replace(".", "-"))


@given(
    st.dictionaries(own_names, json_values, max_size=4),
    st.sampled_from((None, 1, 2, 4, "\t")),
    st.sampled_from(("", "training_args")),
    st.booleans(),
    plans,
)
@settings(deadline=None, max_examples=120)
def test_arguments_in_json_change_only_where_meant(
    own: dict[str, Any], indent: int | str | None, section: str, ascii_only: bool,
    plan: dict[str, Any],
) -> None:  # fmt: skip
    arguments = {"learning_rate": 2e-4, "num_train_epochs": 3, "per_device_train_batch_size": 8}
    whole = {**own, section: arguments} if section else {**arguments, **own}
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    dialect = dialect_of("transformers")
    assert dialect is not None
    json.loads(check_written(dialect, text, JSON_FILE, plan))


numbers = st.one_of(st.integers(-(10**6), 10**6), st.floats(1e-12, 1e12))


@given(rates, numbers, st.booleans())
def test_a_number_in_another_ones_style_is_still_that_number(
    sample: str, value: float, as_json: bool
) -> None:
    sample = sample.replace("'", '"') if as_json else sample
    text = like(sample, value, as_json)
    read = json.loads(text) if as_json else trees.parse(f"k: {text}\n", YAML_FILE)["k"]
    assert (trees.cast(read) if isinstance(read, str) else read) == value
    assert (text[0] in "\"'") == (sample[0] in "\"'")


def test_the_style_of_a_number_stays() -> None:
    samples = ("2.0e-4", "2e-4", "0.0002", '"2e-4"', "2.0E-04", "3.0", "3")
    assert [like(sample, 8e-5) for sample in samples[:5]] == [
        "8.0e-5", "8e-5", "0.00008", '"8e-5"', "8.0E-05",
    ]  # fmt: skip
    assert [like(sample, 2) for sample in samples[5:]] == ["2.0", "2"]
    assert like("2e-4", 2.8e-4) == "2.8e-4"
    assert like("0.0002", 8e-5, as_json=True) == "0.00008"
    assert like(".5", 0.25) == ".25"
    assert scalar(8e-5, as_json=True) == "8e-05"


def test_a_value_that_is_there_already_keeps_its_spelling() -> None:
    dialect = dialect_of("automodel")
    assert dialect is not None
    text = "step_scheduler: {num_epochs: 03}\noptimizer:\n  lr: '200e-6'\n"
    tree = trees.parse(text, YAML_FILE)
    assert dialect.write(text, YAML_FILE, edits_of({"optimizer.lr": 2e-4}), {}, tree) == text
