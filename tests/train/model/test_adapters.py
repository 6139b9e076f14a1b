"""Where adapters sit, how they start, and what is said of a wrong pattern."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from train.config.types import PeftConfig  # noqa: E402
from train.errors import TrainConfigError  # noqa: E402
from train.model.adapters import target_names, with_adapter  # noqa: E402


def kinds(model, **options):
    names = target_names(model, PeftConfig(**options))
    return {name.rpartition(".")[2] for name in names}


ALL = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_match_all_linear_leaves_the_head_out(make_model):
    assert kinds(make_model(), match_all_linear=True) == ALL


def test_no_pattern_means_every_linear_layer(make_model):
    assert kinds(make_model()) == ALL


def test_the_head_takes_an_adapter_where_it_is_named(make_model):
    assert "lm_head" in kinds(make_model(), match_all_linear=True, target_modules=("lm_head",))
    assert kinds(make_model(), target_modules=("*",)) == ALL


def test_the_guides_pattern_is_every_projection(make_model):
    assert kinds(make_model(), target_modules=("*.proj",)) == ALL


def test_excluded_modules_get_none(make_model):
    got = kinds(make_model(), match_all_linear=True, exclude_modules=("*.mlp.*", "o_proj"))
    assert got == {"q_proj", "k_proj", "v_proj"}


def test_one_layer_of_twelve_is_one_layer(make_model):
    model = make_model(num_hidden_layers=12)
    names = target_names(model, PeftConfig(target_modules=("*.layers.1.*q_proj",)))
    assert names == ["model.layers.1.self_attn.q_proj"]
    adapted, _ = with_adapter(model, PeftConfig(target_modules=("*.layers.1.*q_proj",)))
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert len(trained) == 2
    assert all(".layers.1." in name for name in trained)


def test_gpt2s_turned_layers_are_linear_layers_too(make_model):
    assert kinds(make_model("gpt2")) == {"c_attn", "c_proj", "c_fc"}


def test_an_unknown_pattern_is_answered_with_what_there_is(make_model):
    with pytest.raises(
        TrainConfigError, match=r"'\*\.query' matches no linear layer.*q_proj, k_proj"
    ):
        target_names(make_model(), PeftConfig(target_modules=("*.query",)))


def test_excluding_everything_is_an_error(make_model):
    with pytest.raises(TrainConfigError, match="no layer is left"):
        target_names(make_model(), PeftConfig(exclude_modules=("*",)))


def test_an_unknown_module_to_save_is_an_error(make_model):
    with pytest.raises(TrainConfigError, match="'embeddings' is no module"):
        with_adapter(make_model(), PeftConfig(modules_to_save=("embeddings",)))


@pytest.mark.parametrize("init", ["xavier", "kaiming"])
def test_the_adapter_starts_as_the_config_says(init, make_model):
    model, _ = with_adapter(make_model(hidden_size=64), PeftConfig(dim=16, lora_A_init=init))
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
    a = torch.cat([p.flatten() for n, p in weights.items() if "q_proj.lora_A" in n])
    assert all(float(p.abs().max()) == 0 for n, p in weights.items() if ".lora_B." in n)
    if init == "xavier":
        assert float(a.std()) == pytest.approx((2 / (64 + 16)) ** 0.5, rel=0.1)
    else:
        assert float(a.abs().max()) <= (1 / 64) ** 0.5


def test_it_is_saved_as_peft_saves(make_model, tmp_path):
    config = PeftConfig(target_modules=("*.proj",), dropout=0.1, dim=4, alpha=8)
    model, _ = with_adapter(make_model(), config)
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["lora_dropout"] == 0.1
    assert set(saved["target_modules"]) == ALL
    assert (saved["r"], saved["lora_alpha"]) == (4, 8)
    assert (tmp_path / "adapter_model.safetensors").is_file()


def test_a_triton_wish_is_answered_with_one_notice(make_model):
    _, notices = with_adapter(make_model(), PeftConfig(use_triton=True))
    assert len(notices) == 1
    assert "use_triton" in notices[0]
