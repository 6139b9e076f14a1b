"""The real sets that lie beside the checkout, in each of their layouts; skipped where absent."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from train.config.types import (  # noqa: E402
    DatasetConfig,
    ModelConfig,
    PackingConfig,
    TrainConfig,
)
from train.data.batches import build_data  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
SETS = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not SETS.is_dir(), reason="no data sets beside the checkout")

INSTRUCTION = {"question": "instruction", "context": "input", "answer": "output"}
COLUMNS = {
    "alpaca": INSTRUCTION,
    "codealpaca_2k": INSTRUCTION,
    "codealpaca_new": INSTRUCTION,
    "llms_from_scratch_instruct": INSTRUCTION,
    "medqa": {"question": "input", "answer": "output"},
    "medical_meadow_wikidoc_patient": {"question": "input", "answer": "output"},
    "dolly": {"question": "instruction", "context": "context", "answer": "response"},
    "gsm8k": {"question": "question", "answer": "answer"},
    "natural_instructions": {"context": "definition", "question": "inputs", "answer": "targets"},
}


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(ROOT / "presets" / "base")


def build(tokenizer, dataset, packed=0):
    model = ModelConfig(pretrained_model_name_or_path="x")
    packing = PackingConfig(packed_sequence_size=packed)
    asked = TrainConfig(model=model, dataset=dataset, packed_sequence=packing, validation_split=0.1)
    return build_data(asked, tokenizer)


def dataset(kind, name, **more):
    return DatasetConfig(
        kind=kind, source=str(SETS / f"{name}.jsonl"), split="train[:200]", seq_length=4000, **more
    )


@pytest.mark.parametrize("name", COLUMNS)
def test_instructions_are_learnt_by_their_columns(tokenizer, name):
    data = build(tokenizer, dataset("columns", name, column_mapping=COLUMNS[name]), packed=4000)
    assert data.facts.samples + data.validation_facts.samples + data.facts.all_masked == 200
    assert data.facts.all_masked <= 4 and data.facts.supervised > 0
    assert data.facts.efficiency > 0.5


@pytest.mark.parametrize("name", ["chat_messages", "chat_tool_calls"])
@pytest.mark.parametrize("own", [True, False])
def test_every_turn_of_the_chats_is_found(tokenizer, name, own):
    tokenizer = transformers.AutoTokenizer.from_pretrained(ROOT / "presets" / "base")
    if not own:
        tokenizer.chat_template = None
    data = build(tokenizer, dataset("chat", name))
    assert data.facts.unsupervised_turns == 0
    assert data.facts.samples + data.validation_facts.samples >= 198


def test_function_calls_are_learnt(tokenizer):
    data = build(tokenizer, dataset("xlam", "function_calling_xlam_format"))
    assert data.facts.samples + data.validation_facts.samples == 200
    batch = next(iter(data.validation))
    learnt = tokenizer.decode(batch.labels[batch.labels >= 0].tolist())
    assert '"arguments": {' in learnt and learnt.endswith(tokenizer.eos_token)
