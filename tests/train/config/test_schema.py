"""Sections become typed fields; what is unknown or impossible is one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from train.config.checks import warmup_notice
from train.config.load import Loaded, load_config
from train.config.types import TrainConfig
from train.errors import TrainConfigError

BASE = """\
model: {pretrained_model_name_or_path: m}
dataset: {path_or_dataset_id: d.jsonl, column_mapping: {question: q, answer: a}}
optimizer: {lr: 1e-5}
"""
ALLOWED = {"NEMO_ENABLE_USER_MODULES": "1"}


def load(tmp_path: Path, *words: str, env: Mapping[str, str] | None = None) -> Loaded:
    path = tmp_path / "c.yaml"
    path.write_text(BASE)
    return load_config(path, words, env or {})


def config(tmp_path: Path, *words: str, env: Mapping[str, str] | None = None) -> TrainConfig:
    return load(tmp_path, *words, env=env).config


def error(tmp_path: Path, *words: str, env: Mapping[str, str] | None = None) -> str:
    with pytest.raises(TrainConfigError) as caught:
        load(tmp_path, *words, env=env)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_almost_empty_config_has_the_defaults(tmp_path: Path) -> None:
    found = config(tmp_path)
    assert found.method == "full" and found.seed == 42 and found.max_norm == 1.0
    assert found.lr_scheduler is None and found.dataset.kind == "columns"
    assert found.step_scheduler.global_batch_size == 32


@pytest.mark.parametrize(
    ("flag", "near"),
    [
        ("--optimzer.lr", "optimizer"), ("--optimizer.weight_deacy", "optimizer.weight_decay"),
        ("--peft.rank", "peft.dim"), ("--step_scheduler.lr_warmup_steps", "lr_scheduler.lr_warmup"),
        ("--learning_rate", "optimizer.lr"), ("--dataset.max_length", "dataset.seq_length"),
        ("--step_scheduler.num_epoch", "step_scheduler.num_epochs"),
        ("--wandb.projekt", "wandb.project"), ("--clip_grad_norm.max_nrm", "clip_grad_norm.max"),
        ("--gradient_accumulation_steps", "step_scheduler.global_batch_size"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_refused_with_the_nearest(tmp_path: Path, flag: str, near: str) -> None:
    said = error(tmp_path, flag, "1")
    assert "unknown key" in said and f"did you mean {near}" in said


def test_an_unknown_key_of_the_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(BASE + "step_scheduler:\n  local_batchsize: 4\n")
    with pytest.raises(
        TrainConfigError, match=r"c.yaml:5: unknown key step_scheduler.local_batchsize"
    ):
        load_config(path, (), {})


@pytest.mark.parametrize("flag", ["--allow_user_modules", "--tracking.wandb", "--method"])
def test_our_own_inner_fields_are_no_keys(tmp_path: Path, flag: str) -> None:
    assert "unknown key" in error(tmp_path, flag, "true")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("torch.optim.Adam", "Adam"), ("torch.optim.adamw.AdamW", "AdamW"), ("adamw", "AdamW"),
        ("torch.optim.SGD", "SGD"), ("bitsandbytes.optim.AdamW8bit", "AdamW8bit"),
    ],
)  # fmt: skip
def test_optimizers_are_known_by_table(tmp_path: Path, target: str, name: str) -> None:
    assert config(tmp_path, "--optimizer._target_", target).optimizer.name == name


@pytest.mark.parametrize(
    "flag",
    ["--optimizer._target_", "--model._target_", "--loss_fn._target_", "--rng._target_",
     "--dataloader._target_", "--dataloader.collate_fn", "--distributed_config._target_",
     "--quantization._target_", "--model.config._target_", "--lr_scheduler._target_",
     "--step_scheduler._target_", "--checkpoint._target_"],
)  # fmt: skip
@pytest.mark.parametrize("target", ["os.system", "mine.py:attack", "subprocess.Popen"])
def test_no_other_target_is_ever_taken(tmp_path: Path, flag: str, target: str) -> None:
    assert "not known here" in error(tmp_path, flag, target, env=ALLOWED)


def test_own_datasets_need_the_opt_in(tmp_path: Path) -> None:
    words = ("--dataset._target_", "mine.py:rows", "--dataset.split", "train")
    assert "--allow-user-modules" in error(tmp_path, *words)
    found = config(tmp_path, *words, env=ALLOWED).dataset
    assert (found.kind, found.target, found.options["split"]) == ("user", "mine.py:rows", "train")


def test_a_misspelt_dataset_of_ours_is_not_taken_for_own_code(tmp_path: Path) -> None:
    target = "nemo_automodel.components.datasets.llm.chat_dataset.ChatDatset"
    assert "did you mean ChatDataset" in error(tmp_path, "--dataset._target_", target, env=ALLOWED)


def test_code_that_comes_with_a_model_needs_the_opt_in(tmp_path: Path) -> None:
    words = ("--model.trust_remote_code", "true")
    assert "--allow-user-modules" in error(tmp_path, *words)
    assert config(tmp_path, *words, env=ALLOWED).model.trust_remote_code


@pytest.mark.parametrize("name", ["bf16", "bfloat16", "torch.bfloat16"])
@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_a_dtype_has_many_names(tmp_path: Path, key: str, name: str) -> None:
    assert config(tmp_path, f"--model.{key}", name).model.dtype == "bfloat16"


def test_two_names_of_one_thing_must_agree(tmp_path: Path) -> None:
    assert "differ" in error(tmp_path, "--model.dtype", "bf16", "--model.torch_dtype", "fp32")
    assert "differ" in error(
        tmp_path, "--dataset.limit", "3", "--dataset.limit_dataset_samples", "4"
    )
    assert "keep one" in error(tmp_path, "--seed", "1", "--rng.seed", "2")
    both = ("--distributed.activation_checkpointing", "true")
    both += ("--distributed_config.activation_checkpointing", "false")
    assert "differs between" in error(tmp_path, *both)


def test_limit_is_short_for_limit_dataset_samples(tmp_path: Path) -> None:
    assert config(tmp_path, "--dataset.limit", "3").dataset.limit_dataset_samples == 3


@pytest.mark.parametrize("words", [("--seed", "7"), ("--rng.seed", "7")])
def test_the_seed_has_two_places(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert config(tmp_path, *words).seed == 7


@pytest.mark.parametrize("section", ["distributed", "distributed_config"])
def test_activation_checkpointing_is_honoured_in_both_sections(
    tmp_path: Path, section: str
) -> None:
    found = config(tmp_path, f"--{section}.activation_checkpointing", "true")
    assert found.distributed.activation_checkpointing


@pytest.mark.parametrize("text", ["none", "null", "1"])
def test_the_number_of_processes_may_be_left_open(tmp_path: Path, text: str) -> None:
    assert config(tmp_path, "--distributed.dp_size", text).distributed.dp_size in (None, 1)


def test_a_model_that_is_cut_up_is_refused(tmp_path: Path) -> None:
    assert "each process holds the whole model" in error(tmp_path, "--distributed.tp_size", "2")
    assert "pp_size is 2" in error(tmp_path, "--distributed.pp_size", "2")


def test_the_number_of_processes_must_be_that_which_was_started(tmp_path: Path) -> None:
    words = ("--distributed.dp_size", "2")
    assert config(tmp_path, *words, env={"WORLD_SIZE": "2"}).distributed.dp_size == 2
    assert "dp_size is 2, but the processes are 1" in error(tmp_path, *words)


def test_clipping_is_on_unless_it_is_turned_off(tmp_path: Path) -> None:
    assert config(tmp_path, "--clip_grad_norm", "null").max_norm == 1.0
    assert config(tmp_path, "--clip_grad_norm.max_norm", "null").max_norm is None
    assert config(tmp_path, "--clip_grad_norm.max_norm", "0").max_norm is None
    assert config(tmp_path, "--clip_grad_norm.max_norm", "0.5").max_norm == 0.5


def test_a_pack_size_may_be_auto(tmp_path: Path) -> None:
    words = ("--packed_sequence.packed_sequence_size", "auto")
    assert config(tmp_path, *words).packed_sequence.packed_sequence_size == -1


def test_a_number_where_text_belongs_keeps_its_spelling(tmp_path: Path) -> None:
    found = config(tmp_path, "--wandb.name", "1e-5", "--mlflow.tags.lr", "2.0e-5").tracking
    assert found.wandb == {"name": "1e-5"}
    assert found.mlflow == {"tags": {"lr": "2.0e-5"}}


def test_save_dir_is_a_name_for_dir(tmp_path: Path) -> None:
    assert config(tmp_path, "--wandb.save_dir", "w").tracking.wandb == {"dir": "w"}


def test_a_rate_that_is_not_set_is_torchs_own_and_said(tmp_path: Path) -> None:
    found = load(tmp_path, "--optimizer", "null", "--optimizer._target_", "torch.optim.SGD")
    assert found.config.optimizer.lr == 1e-3
    assert any("optimizer.lr is not set" in notice for notice in found.notices)


def test_validating_on_trained_rows_is_said(tmp_path: Path) -> None:
    words = (
        "--validation_dataset.path_or_dataset_id",
        "d.jsonl",
        "--validation_dataset.limit",
        "5",
    )
    words += ("--validation_dataset.column_mapping", "{question: q, answer: a}")
    assert any("rows that are trained on" in notice for notice in load(tmp_path, *words).notices)
    other = load(tmp_path, *words, "--validation_dataset.split", "validation")
    assert not other.notices


def test_a_quantisation_that_is_all_off_is_none(tmp_path: Path) -> None:
    assert config(tmp_path, "--quantization.load_in_4bit", "false").quantization is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--step_scheduler.global_batch_size 30 --step_scheduler.local_batch_size 4",
         "global 28 or 32, or local 2, 3, 5, 6"),
        ("--step_scheduler.global_batch_size 2 --step_scheduler.local_batch_size 4", "global 4"),
        ("--lr_scheduler.min_lr 2e-5", "min_lr is 2e-05, above the peak rate of 1e-05"),
        ("--lr_scheduler.lr_warmup_steps 50 --lr_scheduler.lr_decay_steps 50", "take 5 or so"),
        ("--lr_scheduler.lr_decay_style cosin", "expected cosine or linear"),
        ("--optimizer.lr fast", "optimizer.lr is 'fast', expected a number"),
        ("--optimizer.lr nan", "expected a number"),
        ("--optimizer.lr 0", "must be above 0"),
        ("--optimizer.lr -1e-5", "must be above 0"),
        ("--optimizer.betas [0.9,1.0]", "optimizer.betas"),
        ("--optimizer.weight_decay -1", "0 or more"),
        ("--step_scheduler.num_epochs 1.5", "expected a whole number"),
        ("--step_scheduler.max_steps 0", "1 or more, or null"),
        ("--peft.match_all_linear --peft.dim 0", "peft.dim is 0"),
        ("--peft.match_all_linear --peft.dropout 1", "below 1"),
        ("--peft.match_all_linear --peft.lora_A_init zeros", "expected xavier or kaiming"),
        ("--quantization.load_in_4bit", "needs adapters"),
        ("--peft.dim 4 --quantization.load_in_4bit --quantization.load_in_8bit", "both true"),
        ("--validation_split 0.9", "between 0 and 0.5"),
        ("--checkpoint.model_save_format torch_save", "only safetensors"),
        ("--dataset.delta_version 3", "Delta tables are not read"),
        ("--dataset.column_mapping.anwser a", "the parts are context, question, answer"),
        ("--dataset.column_mapping.answer null", "needs answer"),
        ("--dataset.column_mapping null", "is not set"),
        ("--dataset.path_or_dataset_id null", "is not set"),
        ("--dataset null", "no section 'dataset'"),
        ("--model null", "no section 'model'"),
        ("--model.pretrained_model_name_or_path null", "hub id or a local folder"),
        ("--dataloader.batch_size 4", "step_scheduler.local_batch_size"),
        ("--optimizer 3", "optimizer is a section"),
        ("--packed_sequence.packed_sequence_size -5", "below 0"),
        ("--model.torch_dtype int4", "expected auto, bf16, fp16 or fp32"),
        ("--optimizer.lr ${NOPE}", "NOPE is not set"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_line(tmp_path: Path, words: str, says: str) -> None:
    assert says in error(tmp_path, *words.split())


def test_a_warm_up_longer_than_the_run_is_told(tmp_path: Path) -> None:
    found = config(tmp_path, "--lr_scheduler.lr_warmup_steps", "50")
    assert warmup_notice(found, 51) is None
    assert "never reaches its full rate" in str(warmup_notice(found, 50))


def test_a_stream_needs_an_end(tmp_path: Path) -> None:
    target = "nemo_automodel.components.datasets.llm.x.ColumnMappedTextInstructionIterableDataset"
    words = ("--dataset._target_", target)
    assert "step_scheduler.max_steps" in error(tmp_path, *words)
    assert config(tmp_path, *words, "--step_scheduler.max_steps", "9").dataset.streaming


def test_a_new_model_is_described_by_its_own_config(tmp_path: Path) -> None:
    words = [
        "--model",
        "null",
        "--model._target_",
        "nemo_automodel.NeMoAutoModelForCausalLM.from_config",
    ]
    words += ["--model.config._target_", "transformers.AutoConfig.from_pretrained"]
    words += ["--model.config.pretrained_model_name_or_path", "x", "--model.config.num_layers", "2"]
    found = config(tmp_path, *words).model
    assert found.source == "from_config" and found.pretrained_model_name_or_path == "x"
    assert found.config == {"num_layers": 2}


@pytest.mark.parametrize("place", ["tokenizer", "model.tokenizer", "dataset.tokenizer"])
def test_the_tokenizer_may_lie_elsewhere(tmp_path: Path, place: str) -> None:
    words = (f"--{place}._target_", "transformers.AutoTokenizer.from_pretrained")
    words += (f"--{place}.pretrained_model_name_or_path", "tok")
    assert config(tmp_path, *words).model.tokenizer == "tok"


@pytest.mark.parametrize("digits", ["4" * 400, "4" * 6000, "-" + "4" * 30])
@pytest.mark.parametrize("key", ["--seed", "--optimizer.lr", "--step_scheduler.max_steps"])
def test_an_endless_number_is_one_line(tmp_path: Path, key: str, digits: str) -> None:
    assert key.removeprefix("--") in error(tmp_path, key, digits)


def test_a_batch_beyond_all_memory_is_refused_at_once(tmp_path: Path) -> None:
    batch = ("--step_scheduler.local_batch_size", "8")
    said = error(tmp_path, *batch, "--step_scheduler.global_batch_size", str(10**14 - 1))
    assert "step_scheduler.global_batch_size" in said
