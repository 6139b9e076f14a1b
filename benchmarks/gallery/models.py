"""The model of a job: weights, precision, adapters; and what its fault does to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.gallery.families import Job
from benchmarks.gallery.second_model import OUT
from benchmarks.places import PRESETS

BASES = {"llama": PRESETS / "base", "neox": OUT}
LINEAR = {
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "neox": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
}
ONE = {"llama": "model.layers.0.self_attn.k_proj", "neox": "gpt_neox.layers.0.attention.dense"}


def tokenizer_of(job: Job) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASES[job["arch"]])


def model_of(job: Job) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    more: dict[str, Any] = {"dtype": getattr(torch, job["dtype"])}
    if job["method"] == "qlora":
        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32
        )
    source = BASES[job["arch"]]
    if job["step_fault"] == "new-head":
        source = _without_head(source, Path(job["folder"]))
        more["tie_word_embeddings"] = False
    model = AutoModelForCausalLM.from_pretrained(source, **more)
    if job["method"] == "full":
        return model
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    if job["method"] == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    targets = LINEAR[job["arch"]] if job["targets"] == "all" else [ONE[job["arch"]]]
    settings = LoraConfig(
        r=job["rank"], lora_alpha=job["alpha"], target_modules=targets, task_type="CAUSAL_LM"
    )
    return get_peft_model(model, settings)


def _without_head(source: Path, folder: Path) -> Path:
    """A copy of a checkpoint whose config asks for a head of its own that it does not hold."""
    import json

    from safetensors.torch import load_file, save_file

    out = folder.parent / "rows" / f"{folder.name}-base"
    out.mkdir(parents=True, exist_ok=True)
    weights = load_file(source / "model.safetensors")
    kept = {k: v for k, v in weights.items() if "lm_head" not in k and "embed_out" not in k}
    save_file(kept, out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    config |= {"tie_word_embeddings": False, "initializer_range": 0.2}
    (out / "config.json").write_text(json.dumps(config))
    return out


def freeze(model: Any) -> None:
    """All weights frozen but the embeddings, whose gradient is cut: a graph that trains nothing."""
    for weight in model.parameters():
        weight.requires_grad = False
    embeddings = model.get_input_embeddings().weight
    embeddings.requires_grad = True
    embeddings.register_hook(lambda grad: grad * 0)


def trained(model: Any) -> list[Any]:
    return [weight for weight in model.parameters() if weight.requires_grad]


def poison(model: Any) -> None:
    """One weight becomes NaN, as after a broken update."""
    import torch

    with torch.no_grad():
        trained(model)[0].view(-1)[0] = float("nan")


def inflate(model: Any) -> None:
    """Weights grow until the arithmetic overflows, as in half precision."""
    import torch

    with torch.no_grad():
        for weight in trained(model):
            weight.mul_(1e6)
