"""Models as the config asks for them, and what is said where that cannot be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from tests.precision import BFLOAT16, DEEP32, FLOAT32  # noqa: E402
from train.config.types import (  # noqa: E402
    DatasetConfig,
    DistributedConfig,
    ModelConfig,
    PeftConfig,
    TrainConfig,
)
from train.errors import ModelError, TrainConfigError  # noqa: E402
from train.model.forward import causal_model, loss_sum  # noqa: E402
from train.model.load import load_model  # noqa: E402


def config_for(folder, *, model=None, **sections) -> TrainConfig:
    return TrainConfig(
        model=ModelConfig(pretrained_model_name_or_path=str(folder), **(model or {})),
        dataset=DatasetConfig(kind="columns"),
        **sections,
    )


def steps(loaded, batch, count=8, lr=1e-2):
    """Losses of some steps on one batch."""
    optimizer = torch.optim.AdamW([p for _, p in loaded.trainable], lr=lr)
    losses = []
    for _ in range(count):
        loss, tokens = loss_sum(loaded.model, batch)
        (loss / tokens).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item() / tokens)
    return losses


def gradients(loaded, batch):
    loss, tokens = loss_sum(loaded.model, batch)
    (loss / tokens).backward()
    return loss.item(), {name: p.grad.clone() for name, p in loaded.trainable}


@pytest.mark.parametrize(
    "peft",
    [None, PeftConfig(), PeftConfig(use_dora=True), PeftConfig(modules_to_save=("embed_tokens",))],
    ids=["full", "lora", "dora", "embeddings"],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_method_learns_with_fp32_masters(peft, dtype, saved, batch):
    loaded = load_model(config_for(saved(), model={"dtype": dtype}, peft=peft))
    assert {p.dtype for _, p in loaded.trainable} == {torch.float32}
    frozen = {p.dtype for p in loaded.model.parameters() if not p.requires_grad}
    assert frozen <= {getattr(torch, dtype)}
    losses = steps(loaded, batch)
    assert losses[-1] < losses[0] - 0.1


def test_an_update_of_a_millionth_is_not_rounded_away(saved, batch):
    loaded = load_model(config_for(saved(dtype=torch.bfloat16)))
    weights = [p for name, p in loaded.trainable if name.endswith("_proj.weight")]
    before = [p.detach().clone() for p in weights]
    steps(loaded, batch, count=1, lr=1e-6)
    moved = [(p != old).float().mean() for p, old in zip(weights, before, strict=True)]
    assert min(moved) > 0.9


def test_auto_computes_in_the_dtype_of_the_files(saved, batch):
    loaded = load_model(config_for(saved(dtype=torch.bfloat16)))
    assert causal_model(loaded.model).forward_plan.autocast == torch.bfloat16
    exact = load_model(config_for(saved(dtype=torch.bfloat16), model={"dtype": "float32"}))
    got, want = (loss_sum(m.model, batch)[0].item() for m in (loaded, exact))
    assert got != want
    assert got == pytest.approx(want, rel=BFLOAT16)


def test_from_config_starts_new_weights_of_the_seed(saved):
    folder = saved()
    wanted = {"source": "from_config", "config": {"num_hidden_layers": 1}}
    firsts = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        loaded = load_model(config_for(folder, model=wanted))
        firsts.append(loaded.trainable[0][1].detach().clone())
    assert loaded.model.config.num_hidden_layers == 1
    assert torch.equal(firsts[0], firsts[1])
    assert not torch.equal(firsts[0], firsts[2])


@pytest.mark.parametrize("family", ["llama", "llama_tied", "gemma2", "gpt2"])
@pytest.mark.parametrize("peft", [None, PeftConfig()], ids=["full", "lora"])
def test_activation_checkpointing_changes_no_gradient(family, peft, saved, batch):
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        loaded = load_model(
            config_for(
                saved(family, **({"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
                                 if family == "gpt2" else {})),
                peft=peft,
                distributed=DistributedConfig(activation_checkpointing=checkpointing),
            )
        )  # fmt: skip
        torch.manual_seed(1)
        results.append(gradients(loaded, batch))
    assert results[0][0] == pytest.approx(results[1][0], rel=FLOAT32)
    for name, gradient in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], gradient, rtol=FLOAT32, atol=FLOAT32)


def test_checkpointed_dropout_draws_the_same_again(saved, batch):
    torch.manual_seed(0)
    loaded = load_model(
        config_for(
            saved(),
            peft=PeftConfig(dropout=0.3),
            distributed=DistributedConfig(activation_checkpointing=True),
        )
    )
    torch.manual_seed(5)
    loss, grads = gradients(loaded, batch)
    causal_model(loaded.model).gradient_checkpointing_disable()
    for _, parameter in loaded.trainable:
        parameter.grad = None
    torch.manual_seed(5)
    again, plain = gradients(loaded, batch)
    assert loss == again
    for name, gradient in plain.items():
        torch.testing.assert_close(grads[name], gradient, rtol=FLOAT32, atol=FLOAT32)


@pytest.mark.slow
@pytest.mark.parametrize("peft", [None, PeftConfig()], ids=["full", "lora"])
def test_compiled_layers_give_the_same_loss_and_gradients(peft, saved, batch):
    results = []
    for compiled in (False, True):
        folder = saved(num_hidden_layers=1)
        torch.manual_seed(0)
        loaded = load_model(config_for(folder, peft=peft, compile=compiled))
        results.append(gradients(loaded, batch))
    assert results[0][0] == pytest.approx(results[1][0], rel=FLOAT32)
    for name, gradient in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], gradient, rtol=DEEP32, atol=DEEP32)


@pytest.mark.slow
def test_code_compiled_for_another_processor_is_not_taken_from_the_cache(tmp_path):
    """torch's own cache would hand it out: the loss is then NaN, or the process dies."""
    program = Path(__file__).with_name("compiled.py")
    losses = {}
    for processor in ("", "avx2", ""):  # either may come first
        env = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
        env.pop("ATEN_CPU_CAPABILITY", None)
        env |= {"ATEN_CPU_CAPABILITY": processor} if processor else {}
        done = subprocess.run(
            [sys.executable, program], env=env, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        eager, compiled = json.loads(done.stdout.splitlines()[-1])
        assert compiled == pytest.approx(eager, rel=DEEP32)
        losses[processor] = compiled
    assert losses[""] == pytest.approx(losses["avx2"], rel=DEEP32)


@pytest.mark.parametrize("tag", ["", "mine", "mine cpu=OLD"])
def test_a_users_own_cache_tag_stays(tag):
    from train.model.load import _part_compiled_code_by_processor

    with torch.compiler.config.patch(cache_key_tag=tag):
        _part_compiled_code_by_processor()
        once = torch.compiler.config.cache_key_tag
        _part_compiled_code_by_processor()
        assert torch.compiler.config.cache_key_tag == once
    own = tag.replace("cpu=OLD", "").split()
    assert once.split() == [*own, f"cpu={torch.backends.cpu.get_cpu_capability()}"]


def test_eager_attention_is_honoured(saved, batch):
    loaded = load_model(config_for(saved(), model={"attn_implementation": "eager"}))
    assert loaded.model.config._attn_implementation == "eager"
    assert loaded.notices == ()
    plain = load_model(config_for(saved()))
    assert plain.model.config._attn_implementation == "documents"
    got, want = (loss_sum(m.model, batch)[0].item() for m in (loaded, plain))
    assert got == pytest.approx(want, rel=FLOAT32)


def test_flash_attention_is_replaced_with_a_notice(saved):
    loaded = load_model(config_for(saved(), model={"attn_implementation": "flash_attention_2"}))
    assert len(loaded.notices) == 1
    assert "flash_attention_2" in loaded.notices[0]


def test_a_model_without_the_fast_way_is_told(saved, batch):
    loaded = load_model(config_for(saved("bloom")))
    assert "padded" in loaded.notices[0]
    losses = steps(loaded, batch)
    assert losses[-1] < losses[0]


def _pickled(folder: Path) -> None:
    from safetensors.torch import load_file

    path = folder / "model.safetensors"
    torch.save(load_file(path), folder / "pytorch_model.bin")
    path.unlink()


def _headless(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights["lm_head.weight"]
    save_file(weights, path, metadata={"format": "pt"})


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _without(name: str):
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_pickled, r"only as pickles.*convert them to safetensors"),
        (_headless, r"1 weights of LlamaForCausalLM are not in the files \(lm_head\.weight"),
        (_cut, "cannot load the model"),
        (_without("model.safetensors"), "cannot load the model"),
        (_without("config.json"), "cannot load the"),
        (_without("tokenizer.json"), "cannot load the tokenizer"),
        (lambda folder: shutil.rmtree(folder), "no such folder"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_one_line(damage, message, saved):
    folder = saved()
    damage(folder)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(config_for(folder))
    assert "\n" not in str(caught.value)


def test_code_of_a_model_is_not_run_without_the_opt_in(saved):
    with pytest.raises(TrainConfigError, match="allow-user-modules"):
        load_model(config_for(saved(), model={"trust_remote_code": True}))


def test_a_model_with_code_of_its_own_names_both_switches(saved):
    folder = saved()
    path = folder / "config.json"
    settings = json.loads(path.read_text()) | {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    }
    path.write_text(json.dumps(settings))
    (folder / "own.py").write_text("raise SystemExit('ran')\n")
    with pytest.raises(ModelError, match="trust_remote_code: true and add --allow-user-modules"):
        load_model(config_for(folder))


@pytest.mark.parametrize("peft", [None, PeftConfig()], ids=["full", "lora"])
def test_what_is_saved_loads_without_us_and_says_the_same(peft, saved, batch, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = saved()
    loaded = load_model(config_for(folder, peft=peft))
    steps(loaded, batch, count=2)
    loaded.model.eval()
    want = loss_sum(loaded.model, batch)[0].item()
    loaded.model.save_pretrained(tmp_path / "saved")
    assert "documents" not in "".join(p.read_text() for p in (tmp_path / "saved").glob("*.json"))
    source = folder if peft else tmp_path / "saved"
    again = AutoModelForCausalLM.from_pretrained(source)
    if peft:
        again = PeftModel.from_pretrained(again, tmp_path / "saved")
    assert loss_sum(again.eval(), batch)[0].item() == pytest.approx(want, rel=FLOAT32)
