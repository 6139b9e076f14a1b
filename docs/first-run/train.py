"""Fine-tune a small model with transformers' Trainer: `python train.py args.yaml outputs/run-1`."""

import json
import shutil
import sys
from pathlib import Path

from ruamel.yaml import YAML
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
)

PRESETS = Path(__file__).resolve().parents[2] / "presets"
PROMPT = "{instruction}\n{context}\n"


def read(tokenizer, name):
    """Return the samples of a file; only the answer is learnt, the prompt has no label."""
    rows = []
    for line in (PRESETS / name).read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        prompt = tokenizer(PROMPT.format(**sample))["input_ids"]
        answer = [*tokenizer(sample["response"])["input_ids"], tokenizer.eos_token_id]
        labels = [-100] * len(prompt) + answer
        rows.append({"input_ids": prompt + answer, "labels": labels})
    return rows


def main(config, folder):
    settings = YAML(typ="safe").load(Path(config)) | {"output_dir": folder}
    (args,) = HfArgumentParser(TrainingArguments).parse_dict(settings)
    tokenizer = AutoTokenizer.from_pretrained(PRESETS / "base")
    model = AutoModelForCausalLM.from_pretrained(PRESETS / "base", dtype="float32")
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=read(tokenizer, "instructions.jsonl"),
        eval_dataset=read(tokenizer, "instructions.val.jsonl"),
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
    )
    trainer.train()
    trainer.save_state()  # trainer_state.json in the run's folder: what `advise` reads
    shutil.copy(config, folder)  # and what the run was trained with


if __name__ == "__main__":
    main(*sys.argv[1:])
