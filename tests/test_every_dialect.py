"""What every dialect of DIALECTS owes, shown on each of its fixtures: a new one brings some."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.dialects import DIALECTS, Dialect, sniff
from advisor.dialects import tree as trees
from advisor.dialects.keys import KINDS
from advisor.findings import Edit

FIXTURES = Path(__file__).parent / "fixtures" / "configs"
TREES = {path.name: trees.parse(path.read_text(), path) for path in sorted(FIXTURES.iterdir())}
KNOWN = {name: dialect for name, tree in TREES.items() if (dialect := sniff(tree)) is not None}
# Two values of each kind, and of keys that hold only some: the one that a fixture lacks is written.
NEW = {
    "float": (0.0123, 0.5), "int": (24, 25), "bool": (True, False), "str": ("other", "one"),
    "list": (["k_proj", "gate_proj"], ["q_proj"]),
}  # fmt: skip
VALID = {
    "method": ("full", "lora"), "optimizer.betas": ([0.8, 0.95], [0.9, 0.9]),
    "precision.amp": ("fp16", "bf16"), "quantization.bnb_4bit_quant_type": ("fp4", "nf4"),
    "quantization.bnb_4bit_compute_dtype": ("float16", "bfloat16"),
}  # fmt: skip
# What says one thing in several keys: one of them may move the others.
TOGETHER = (
    {
        "step_scheduler.global_batch_size", "step_scheduler.local_batch_size",
        "step_scheduler.grad_acc_steps",
    },
    {"method", "peft.use_dora", "quantization.load_in_4bit", "quantization.load_in_8bit"},
    {"lr_scheduler.lr_warmup_steps", "lr_scheduler.lr_warmup_ratio"},
    {"step_scheduler.val_every_steps", "validation.strategy"},
    {"peft.target_modules", "peft.match_all_linear"},
)  # fmt: skip
# Written by trackers and libraries: records of a run, which nobody edits.
RECORDS = {"wandb.yaml", "adapter_config.json", "hparams.yaml"}
EDITED = sorted(KNOWN.keys() - RECORDS)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.NAME)
def test_a_dialect_has_a_fixture(dialect: Dialect) -> None:
    assert any(KNOWN[name] is dialect for name in EDITED)


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize("name", EDITED)
def test_what_is_written_is_read_and_nothing_else_moves(name: str, key: str) -> None:
    path, dialect, tree = FIXTURES / name, KNOWN[name], TREES[name]
    text, before = path.read_text(), dialect.read(tree)
    new = next(v for v in VALID.get(key, NEW[KINDS[key]]) if v != before.get(key))
    edit = Edit(key, "set", None, old=before.get(key), new=new, resolved=True, status="resolved")  # type: ignore[arg-type]
    once = dialect.write(text, path, [edit], before, tree)
    after = dialect.read(trees.parse(once, path))
    moved = {k for k in {*before, *after} if before.get(k) != after.get(k)}
    if once == text:  # the language has no such key, or the file says so already
        assert not moved
        return
    assert after[key] == edit.new
    assert moved <= next((keys for keys in TOGETHER if key in keys), {key})
    assert dialect.write(once, path, [edit], after, trees.parse(once, path)) == once


@pytest.mark.parametrize(("key", "new"), [("optimizer.lr", 0.5), ("step_scheduler.num_epochs", 9)])
@pytest.mark.parametrize("name", EDITED)
def test_what_every_trainer_has_can_be_written(name: str, key: str, new: float) -> None:
    text, tree = (FIXTURES / name).read_text(), TREES[name]
    edit = Edit(key, "set", None, new=new, resolved=True, status="resolved")
    assert KNOWN[name].write(text, FIXTURES / name, [edit], KNOWN[name].read(tree), tree) != text
