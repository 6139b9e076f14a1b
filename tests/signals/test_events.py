"""What Events say is counted by their text, and a line of a console becomes such an Event."""

from __future__ import annotations

import pytest

from advisor.readers.console.events import Scanner
from advisor.rulebook.cases import make_run
from advisor.run import Event, Run
from advisor.signals import View, resolve


def said_of(*lines: str) -> set[str]:
    """The event signals above 0 after a console log has shown these lines."""
    scanner = Scanner()
    for number, line in enumerate(lines, 1):
        scanner.feed(number, line)
    events = tuple(Event(h.kind, h.text) for h in scanner.found)
    view = View(Run("log", "console", {}, events=events))
    names = (
        "masked",
        "no_template",
        "no_grad",
        "no_graph",
        "nothing_trained",
        "new_weights",
        "truncated",
        "no_end",
    )
    names += ("double_bos", "attention", "leak", "duplicates", "scale_floor", "overflow")
    return {name for name in names if resolve(f"event.{name}", view).value}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (
            "UserWarning: None of the inputs have requires_grad=True. Gradients will be None",
            "no_grad",
        ),
        (
            "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn",
            "no_graph",
        ),
        ("trainable params: 0 || all params: 6,738,415,616 || trainable%: 0.0", "nothing_trained"),
        (
            "Some weights of LlamaForCausalLM were not initialized from the model checkpoint at x "
            "and are newly initialized: ['lm_head.weight']",
            "new_weights",
        ),
        ("0         Trainable params", "nothing_trained"),
        ("Unsloth: Trainable parameters = 0 of 1,235,814,400 (0.00% trained)", "nothing_trained"),
        (
            "UserWarning: Could not find response key `### Response:` in the following instance",
            "no_template",
        ),
        ("Unsloth: All labels in your dataset are -100. Training losses will be all 0.", "masked"),
        ("warning: 120 samples were cut to 512 tokens; the longest has 900", "truncated"),
        ("190 of 200 samples end without an end-of-text token", "no_end"),
        (
            "llama_tokenize: Added a BOS token to the prompt as specified by the model but the "
            "prompt also starts with a BOS token. So now the final prompt starts with 2 BOS tokens",
            "double_bos",
        ),
        (
            "It is strongly recommended to train Gemma2 models with the `eager` attention "
            "implementation instead of `sdpa`.",
            "attention",
        ),
        ("30 of 90 validation samples are also trained on", "leak"),
        ("300 of 600 training samples are duplicates of others", "duplicates"),
        (
            "Exception: Current loss scale already at minimum - cannot decrease scale anymore.",
            "scale_floor",
        ),
    ],
)
def test_a_known_line_is_kept_and_counted(line: str, name: str) -> None:
    assert said_of(line) == {name}


@pytest.mark.parametrize(
    "line",
    [
        "Non-trainable params: 0",
        "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.06",
        "Some weights of BertForSequenceClassification were not initialized from the model "
        "checkpoint and are newly initialized: ['classifier.weight']",
        "Unsloth: We found double BOS tokens - we shall remove one automatically.",
        "Token indices sequence length is longer than the specified maximum sequence length",
        "Setting `pad_token_id` to `eos_token_id`:2 for open-end generation.",
        "removed 12 duplicate samples",
        "Trainable params: 0.04B (0.52%)",
        "Some weights of VisionEncoderDecoderModel were not initialized from the model checkpoint "
        "and are newly initialized: ['encoder.pooler.dense.bias', 'encoder.pooler.dense.weight']",
        "Some weights of ViTForImageClassification were not initialized from the model checkpoint "
        "at x and are newly initialized because the shapes did not match:",
        "Some weights of GPT2LMHeadModel were not initialized from the model checkpoint at gpt2 "
        "and are newly initialized: ['h.0.attn.masked_bias', 'lm_head.weight']",
        "Some weights of LlavaLlamaForCausalLM were not initialized from the model checkpoint "
        "and are newly initialized: ['model.mm_projector.0.bias']",
        "BOS token not found; eos_token: not set, using default",
        "UserWarning: There appear to be 1 leaked semaphore objects (validation workers)",
        "overlap communication with compute during validation step ... enabled",
        "model was trained on validation split excluded",
    ],
)
def test_a_line_that_only_looks_alike_counts_for_nothing(line: str) -> None:
    assert said_of(line) == set()


@pytest.mark.parametrize(("start", "counts"), [(9.5, 1.0), (1.9, 0.0)])
def test_a_model_that_begins_well_had_its_weights(start: float, counts: float) -> None:
    text = "Some weights of QwenForCausalLM are newly initialized: ['model.layers.0.mlp.w1.weight']"
    run = make_run({"train/loss": f"{start}-0.01x40"}, events=[{"kind": "warning", "text": text}])
    assert resolve("event.new_weights", View(run)).value == counts


@pytest.mark.parametrize(
    ("model", "key", "said"),
    [
        ("LlamaForCausalLM", "lm_head.weight", {"new_weights"}),
        ("Qwen3ForCausalLM", "model.layers.{0...27}.mlp.up_proj.weight", {"new_weights"}),
        ("BertForSequenceClassification", "classifier.weight", set()),
        ("Wav2Vec2ForCTC", "lm_head.bias", set()),
    ],
)
def test_a_load_report_names_weights_that_were_not_found(
    model: str, key: str, said: set[str]
) -> None:
    head = ("Key            | Status  | ", "---------------+---------+-")
    lines = (f"[transformers] {model} LOAD REPORT from: x", *head, f"{key} | MISSING | ")
    note = "- MISSING:\tthose params were newly initialized because missing from the checkpoint."
    assert said_of(*lines, "", "Notes:", note) == said


def test_an_overflow_down_to_a_scale_of_one_is_a_scale_at_its_floor() -> None:
    line = "[deepspeed] OVERFLOW! Rank 0 Skipping step. Attempted loss scale: {}, reducing to {}"
    assert said_of(line.format(2, 1)) == {"overflow", "scale_floor"}
    assert said_of(line.format(2048, 1024)) == {"overflow"}


@pytest.mark.parametrize(("after", "up"), [("1.9~0.02x40", 1.0), ("1.1~0.02x40", 0.0)])
def test_a_resume_tells_which_way_the_loss_went(after: str, up: float) -> None:
    events = [{"kind": "resume", "text": "resumed", "step": 80}]
    run = make_run({"train/loss": f"3>1.5~0.02x80 {after}"}, events=events)
    assert resolve("run.resume_up", View(run)).value == up


@pytest.mark.parametrize(("step", "late"), [(1, 0.0), (30, 1.0)])
def test_memory_that_runs_out_after_many_steps_is_late(step: int, late: float) -> None:
    events = [{"kind": "oom", "text": "CUDA out of memory", "step": step}]  # the run ends there
    run = make_run({"train/loss": f"2>1x{step}"}, events=events)
    assert resolve("event.oom_late", View(run)).value == late
