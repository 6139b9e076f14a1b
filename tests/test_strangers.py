"""Configs of other trainers: known by their marks, read for what they say, never written."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from advisor.config.attach import with_facts
from advisor.config.files import read_source
from advisor.dialects import generic, sniff
from advisor.dialects import tree as trees
from advisor.dialects.automodel import AUTOMODEL
from advisor.dialects.front_ends import FRONT_ENDS, front_end
from advisor.dialects.keys import KINDS
from advisor.dialects.strangers import STRANGERS, stranger
from advisor.dialects.words import WORDS, describe_edit, flag_of, language_of, speak
from advisor.errors import ConfigError
from advisor.findings import Edit, Report
from advisor.pipeline import Request, check_paths
from advisor.report import github
from advisor.report.contract import report_of
from advisor.report.runs_html import to_html
from advisor.report.text import show_reports
from advisor.rulebook.load import load_rules
from advisor.run import Config
from tests.cli.sick_runs import curve, rate

HERE = Path(__file__).parent
FOREIGN = sorted((HERE / "fixtures" / "strangers").iterdir())
OURS = sorted(p for p in (HERE / "fixtures" / "configs").iterdir() if p.name != "hparams.yaml")
LOGS = HERE.parents[1] / "shared" / "logs"
# Every name under which the guide's trainer alone knows a key.
GUIDES = {n for names in AUTOMODEL.KEYS.values() for n in names if "." in n}
GUIDES |= {"packed_sequence_size", "ckpt_every_steps", "val_every_steps", "lr_decay_style"}
GUIDE_KEY = re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, sorted(GUIDES)))})(?!\w)")


def tree_of(path: Path) -> dict[str, object]:
    return trees.parse(trees.read_text(path), path)


@pytest.mark.parametrize("path", FOREIGN, ids=lambda p: p.stem)
def test_a_strangers_config_is_in_no_dialect(path: Path) -> None:
    assert sniff(tree_of(path)) is None


@pytest.mark.parametrize("path", OURS, ids=lambda p: p.stem)
def test_a_config_of_ours_bears_no_strangers_mark(path: Path) -> None:
    source = read_source(path)
    assert source is not None and source.stranger == ""


def test_strangers_are_named_as_people_know_them() -> None:
    named = {p.stem: stranger(tree_of(p)) for p in FOREIGN}
    assert named["torchtune"] == "torchtune" and named["deepspeed"] == "DeepSpeed"
    assert named["lightning-cli"] == "Lightning CLI" and named["nemo"] == "NeMo"
    assert named["own-script"] == named["own-sections"] == ""
    assert len({name for name, _ in STRANGERS}) == len(STRANGERS)


# Fixtures that state the rate in a list, or under a section of several models.
UNREAD = {"accelerate", "fairseq", "nemo-rl", "own-sections", "verl"}


@pytest.mark.parametrize("path", [p for p in FOREIGN if p.stem not in UNREAD], ids=lambda p: p.stem)
def test_what_a_stranger_plainly_says_is_read(path: Path) -> None:
    source = read_source(path)
    assert source is not None and source.values["optimizer.lr"] == 3e-4


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("optimizer: {params: {lr: 5.0e-7}}\nscheduler: {params: {warmup_max_lr: 1.0e-3}}\n",
         {"optimizer.lr": 1e-3}),
        ("optimizer: {params: {lr: auto}}\nlearning_rate: 2.0e-5\n", {"optimizer.lr": 2e-5}),
        ("iters: 1000\nlearning_rate: 1.0e-5\n",
         {"optimizer.lr": 1e-5, "step_scheduler.max_steps": 1000}),
        ("max_steps: -1\nlr: 1.0e-5\nnum_train_epochs: 3\n",
         {"optimizer.lr": 1e-5, "step_scheduler.num_epochs": 3}),
    ],
)  # fmt: skip
def test_the_value_that_decides_is_read(
    tmp_path: Path, text: str, wanted: dict[str, object]
) -> None:
    assert generic.read(trees.parse(text, tmp_path / "config.yaml")) == wanted


def test_json_with_remarks_is_read_where_its_tool_takes_them(tmp_path: Path) -> None:
    text = """{
      "bf16": { # no overflow
        "enabled": true,
      },
      "optimizer": {"type": "AdamW", "params": {"lr": 5e-7}},
      // the schedule sets the rate
      "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 10}},
      "train_micro_batch_size_per_gpu": 1,
    }"""
    path = tmp_path / "ds_config.json"
    path.write_text(text)
    source = read_source(path)
    assert source is not None and source.stranger == "DeepSpeed"
    assert source.values["optimizer.lr"] == 1e-3  # DeepSpeed's own, whatever its optimizer states
    path.write_text('{"learning_rate": 1e-4, "num_train_epochs": 3, # mine\n}')
    with pytest.raises(ConfigError, match="not valid JSON"):
        read_source(path)


def test_a_file_with_few_names_of_the_trainer_gets_no_new_one() -> None:
    weight_decay = Edit("optimizer.weight_decay", "set", 0.1, new=0.1, resolved=True)
    lower = Edit("optimizer.lr", "set", 1e-5, new=1e-5, resolved=True)
    for more, known in [
        ({}, False), ({"per_device_train_batch_size": 8}, True),
        ({"hidden": 64}, False), ({"lr_scheduler_type": "cosine"}, True),
    ]:  # fmt: skip
        tree = {"learning_rate": 1e-4, "num_train_epochs": 3, **more}
        dialect = sniff(tree)
        assert dialect is not None
        written = {c.path[-1] for c in dialect.changes([weight_decay, lower], {}, tree)}
        assert written == {"learning_rate", *(["weight_decay"] if known else [])}


def test_no_key_of_the_guide_in_json_either(tmp_path: Path) -> None:
    losses, _ = curve("spikes")
    rows = "".join(f"{i},{loss},{rate(i)}\n" for i, loss in enumerate(losses))
    (tmp_path / "metrics.csv").write_text("step,train_loss,lr\n" + rows)
    lacking = report_of(judged(tmp_path))["checks"]["not_judged"]
    assert any("--set lora_alpha=..." in item["why"] for item in lacking)
    assert not any(GUIDE_KEY.search(item["why"]) for item in lacking)


def test_a_batch_of_a_part_of_a_step_is_not_the_global_one() -> None:
    source = read_source(HERE / "fixtures" / "strangers" / "torchtune.yaml")
    assert source is not None and "step_scheduler.global_batch_size" not in source.values


def judged(folder: Path) -> Report:
    (report,), failures = check_paths([folder], load_rules(), Request())
    assert not failures
    return report


def shown(report: Report) -> str:
    out = io.StringIO()
    show_reports(Console(file=out, width=300), [report], [], verbose=True)
    return "\n".join([out.getvalue(), to_html([report]), *github.lines([report], [])])


@pytest.mark.parametrize("path", FOREIGN, ids=lambda p: p.stem)
def test_a_sick_run_of_a_stranger_is_told_in_words_and_nothing_is_written(
    tmp_path: Path, path: Path
) -> None:
    losses, _ = curve("spikes")
    rows = "".join(f"{i},{loss},{rate(i) * 1.5}\n" for i, loss in enumerate(losses))
    (tmp_path / "metrics.csv").write_text("step,train_loss,lr\n" + rows)
    shutil.copy(path, tmp_path)
    report = judged(tmp_path)
    plan = report_of(report)["plan"]
    assert report.run.config.path is None
    assert (plan["overrides"], plan["diff"]) == ([], None)
    assert {
        edit["native_key"] for part in ("edits", "later", "dropped") for edit in plan[part]
    } == {""}
    (edit,) = (e for e in plan["edits"] if e["key"] == "optimizer.lr")
    assert edit["to"] < edit["from"]
    text = shown(report)
    assert f"lower the learning rate from {edit['from']} to {edit['to']}" in text
    assert not GUIDE_KEY.search(text)


@pytest.mark.skipif(not LOGS.is_dir(), reason="the collected logs are not here")
def test_no_key_of_the_guides_trainer_in_what_is_told_of_anothers_run() -> None:
    reports, _ = check_paths([LOGS], load_rules(), Request())
    others = [r for r in reports if language_of(r.run) != "automodel"]
    assert len(others) > 100
    for report in others:
        plan = report_of(report)["plan"]
        keys = [e["native_key"] for part in ("edits", "later", "dropped") for e in plan[part]]
        assert not GUIDES & {*keys, *(flag.lstrip("-") for flag in plan["overrides"])}
        found = GUIDE_KEY.search(shown(report))
        assert found is None, f"{report.run.path}: {found}"


def test_every_key_has_words_and_a_name_that_set_takes() -> None:
    assert set(KINDS) <= set(WORDS)
    for key in KINDS:
        for language in ("", "transformers", "automodel"):
            name = flag_of(key, language)
            assert language == "automodel" or not GUIDE_KEY.fullmatch(name)
            given = {"float": "1", "int": "1", "bool": "true", "list": "[a]", "str": "lora"}
            facts = {name: given[KINDS[key]].strip("[]")}
            if KINDS[key] != "list":
                assert key in with_facts(Config(dialect=language), facts).values


@given(st.sampled_from(sorted(KINDS)), st.sampled_from(["set", "multiply", "add", "append"]))
def test_an_edit_in_words_names_no_key(key: str, op: str) -> None:
    for resolved in (True, False):
        edit = Edit(key, op, 0.3, old=2e-4, new=6e-5, resolved=resolved)  # type: ignore[arg-type]
        text = describe_edit(edit)
        assert "." + key.rpartition(".")[2] not in text and not GUIDE_KEY.search(text)
        assert not resolved or op == "append" or text.endswith("from 0.0002 to 6e-05")


def test_keys_in_a_text_are_said_as_the_user_says_them() -> None:
    text = "optimizer.lr is 0.002; peft.alpha is 8 times peft.dim: give --set optimizer.lr=..."
    assert speak(text, "automodel") == text
    assert speak(text, "transformers") == (
        "learning_rate is 0.002; lora_alpha is 8 times r: give --set learning_rate=..."
    )
    assert speak(text, "") == (
        "the learning rate is 0.002; the LoRA alpha is 8 times the LoRA rank:"
        " give --set learning_rate=..."
    )


def test_each_front_end_knows_its_own_file() -> None:
    names = {"sft": "LLaMA-Factory", "axolotl": "axolotl", "swift": "ms-swift", "trl": "TRL"}
    for path in OURS:
        front = front_end(tree_of(path))
        assert (front.name if front else None) == names.get(path.stem)
    assert {front.name for front in FRONT_ENDS} == set(names.values())


# Names that a front end refuses, or passes over without a word.
REFUSED = {
    "sft": {"r", "target_modules", "lora_r", "load_in_4bit", "attn_implementation", "max_length",
            "torch_dtype", "exclude_modules", "add_eos_token", "gradient_checkpointing"},
    "axolotl": {"r", "per_device_train_batch_size", "num_train_epochs", "lr_scheduler_type",
                "logging_nan_inf_filter", "eval_accumulation_steps", "attn_implementation",
                "max_samples", "use_dora", "target_modules", "optim", "lr_scheduler_kwargs"},
    "swift": {"r", "lora_r", "lora_target", "cutoff_len", "attn_implementation", "max_samples"},
    "trl": {"r", "target_modules", "lora_rank", "lora_target", "cutoff_len", "max_samples"},
    "args": {"r", "target_modules", "lora_dropout", "load_in_4bit", "model_name_or_path"},
}  # fmt: skip


@pytest.mark.parametrize("stem", REFUSED)
def test_a_file_gets_no_key_that_its_front_end_does_not_read(stem: str) -> None:
    (path,) = (p for p in OURS if p.stem == stem)
    tree = tree_of(path)
    dialect = sniff(tree)
    assert dialect is not None
    samples = {"float": 0.1, "int": 4, "bool": True, "list": ["a", "b"], "str": "lora"}
    for key, kind in KINDS.items():
        edit = Edit(key, "set", None, new=samples[kind], resolved=True)  # type: ignore[arg-type]
        for change in dialect.changes([edit], dialect.read(tree), tree):
            assert change.path[0] not in REFUSED[stem] - set(tree), key


def test_axolotl_trains_all_weights_where_it_names_no_adapter(tmp_path: Path) -> None:
    text = "base_model: a/b\nmicro_batch_size: 2\nlearning_rate: 1.0e-4\nnum_epochs: 3\n"
    for more, method in [("", "full"), ("adapter:\n", "full"), ("adapter: lora\n", "lora")]:
        path = tmp_path / "config.yml"
        path.write_text(text + more)
        source = read_source(path)
        assert source is not None and source.values["method"] == method
