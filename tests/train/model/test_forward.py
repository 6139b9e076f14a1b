"""Packed loss and gradients against transformers' own forward pass, sample by sample."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from tests.precision import FLOAT32  # noqa: E402
from train.model.forward import ForwardPlan, loss_sum, plan_forward  # noqa: E402

FAST = (
    "llama", "llama_tied", "llama_yarn", "qwen2", "qwen3", "mistral", "gemma", "gemma2",
    "gemma3_text", "cohere", "granite", "smollm3", "phi3", "olmo2", "gpt2", "gpt_neox", "gpt_oss",
    "opt",
)  # fmt: skip
PADDED = ("bloom", "mamba")


def reference(model, samples):
    """Sum of token losses, each sample in a forward pass of its own, full logits."""
    total = 0.0
    for sample in samples:
        logits = model(input_ids=torch.tensor([sample.input_ids]), use_cache=False).logits[0, :-1]
        labels = torch.tensor(sample.labels[1:])
        total = total + torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
    return total


def gradients(loss, model):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same_gradients(got, want, relative=FLOAT32):
    assert got.keys() == want.keys()
    size = max(float(g.abs().max()) for g in want.values())
    for name, gradient in want.items():
        # some are zero in exact arithmetic (bias of the keys): the others' size counts there
        near = max(float(gradient.abs().max()), 0.05 * size)
        assert float((got[name] - gradient).abs().max()) <= relative * near, name


@pytest.mark.parametrize("family", [*FAST, *PADDED])
def test_packed_loss_and_gradients_are_those_of_each_sample_alone(
    family, make_model, samples, batch
):
    model = make_model(family).eval()
    want = reference(model, samples)
    wanted = gradients(want, model)
    plan = plan_forward(model)
    assert plan.layout == ("documents" if family in FAST else "padded")
    got, count = loss_sum(model, batch)
    assert count == batch.supervised
    assert got.item() == pytest.approx(want.item(), rel=FLOAT32)
    assert_same_gradients(gradients(got, model), wanted)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_padding_gives_the_loss_of_documents_end_to_end(family, make_model, batch):
    model = make_model(family, attn_implementation="eager").eval()
    own = model.config._attn_implementation
    model.forward_plan = ForwardPlan("padded", None)
    padded, _ = loss_sum(model, batch)
    del model.forward_plan
    model.set_attn_implementation("sdpa" if family != "gemma2" else own)
    packed, _ = loss_sum(model, batch)
    assert packed.item() == pytest.approx(padded.item(), rel=FLOAT32)


def test_a_document_does_not_see_the_one_before_it(make_model, samples, batch):
    from tests.train.batches import collate
    from train.data.types import Sample

    model = make_model().eval()
    plan_forward(model)
    silent = [dataclasses.replace(s, labels=[-100] * len(s.labels)) for s in samples[:-1]]
    other = [Sample([(i + 1) % 90 for i in s.input_ids], s.labels) for s in silent]
    losses = [
        loss_sum(model, collate([[*before, samples[-1]]]))[0].item() for before in (silent, other)
    ]
    assert losses[0] == losses[1]


def test_a_batch_without_labels_has_loss_zero_and_zero_gradients(make_model, samples):
    from tests.train.batches import collate

    model = make_model()
    silent = dataclasses.replace(samples[0], labels=[-100] * len(samples[0].labels))
    loss, count = loss_sum(model, collate([[silent]]))
    loss.backward()
    assert count == 0
    assert loss.item() == 0.0
    assert all(float(p.grad.abs().max()) == 0 for p in model.parameters() if p.grad is not None)


def test_generation_still_works_with_our_attention(make_model):
    model = make_model().eval()
    ids = torch.tensor([[5, 6, 7]])
    before = model.generate(ids, max_new_tokens=5, do_sample=False)
    assert plan_forward(model).layout == "documents"
    assert torch.equal(model.generate(ids, max_new_tokens=5, do_sample=False), before)


def test_a_wrong_head_formula_is_noticed_and_the_model_makes_its_own_logits(
    make_model, samples, batch
):
    model = make_model("cohere").eval()
    model.config.logit_scale = 3.0  # the module keeps the value it was built with
    want = reference(model, samples).item()
    plan = plan_forward(model)
    assert plan.head is None
    assert loss_sum(model, batch)[0].item() == pytest.approx(want, rel=FLOAT32)


def test_attention_that_leaks_is_noticed_and_replaced_by_padding(make_model, samples, batch):
    from transformers.models.llama import modeling_llama

    class Leaky(modeling_llama.LlamaAttention):
        def forward(self, hidden_states, **kwargs):
            kwargs["attention_mask"] = None if self.leaks else kwargs["attention_mask"]
            return super().forward(hidden_states, **kwargs)

        @property
        def leaks(self):
            return self.config._attn_implementation == "documents"

    model = make_model().eval()
    want = reference(model, samples).item()
    for layer in model.model.layers:
        layer.self_attn.__class__ = Leaky
    assert plan_forward(model).layout == "padded"
    assert loss_sum(model, batch)[0].item() == pytest.approx(want, rel=FLOAT32)
