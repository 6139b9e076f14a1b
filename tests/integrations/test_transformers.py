"""The callback in real trainings with transformers' Trainer and with TRL's."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from advisor.errors import AdvisorError

pytest.importorskip("trl")  # `make test-integrations` installs it

from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer

from advisor.integrations.transformers import AdvisorCallback, config_of
from tests.integrations.tiny import Counting, Heard, model

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]


def arguments(place: Path, **more: Any) -> TrainingArguments:
    given = {
        "output_dir": str(place), "max_steps": 80, "per_device_train_batch_size": 8,
        "learning_rate": 5e-3, "logging_steps": 1, "report_to": [], "use_cpu": True,
        "disable_tqdm": True, "save_strategy": "no", "lr_scheduler_type": "cosine",
        "warmup_steps": 5, "seed": 1,
    }  # fmt: skip
    return TrainingArguments(**{**given, **more})


def trained(place: Path, callback: AdvisorCallback, held: int = 64, **more: Any) -> Trainer:
    """Train the tiny model for real, and return the Trainer."""
    trainer = Trainer(
        model=model(), args=arguments(place, **more), train_dataset=Counting(512),
        eval_dataset=Counting(held, seed=9), callbacks=[callback],
    )  # fmt: skip
    trainer.train()
    return trainer


def test_a_healthy_training_hears_no_warning(tmp_path: Path) -> None:
    heard = Heard()
    trainer = trained(tmp_path, AdvisorCallback(say=heard), eval_strategy="steps", eval_steps=10)
    assert trainer.state.global_step == 80
    assert not heard.loud()
    assert heard[-1] == "advise: the run is ok"


def test_a_rate_that_is_far_too_high_is_told_while_it_trains(tmp_path: Path) -> None:
    heard = Heard()
    trainer = trained(tmp_path, AdvisorCallback(say=heard), learning_rate=3.0, warmup_steps=0)
    assert trainer.state.global_step == 80
    assert heard.loud()
    told_at = int(heard.loud()[0].split("step ")[1].split()[0])
    assert told_at < 80


def test_a_stop_ends_the_training_and_saves_it_first(tmp_path: Path) -> None:
    heard = Heard()
    callback = AdvisorCallback("stop", say=heard)
    bad = model()
    trainer = Trainer(
        model=bad, args=arguments(tmp_path, logging_nan_inf_filter=False),
        train_dataset=Counting(512), callbacks=[callback],
    )  # fmt: skip
    at_twenty = _Poison(20)
    trainer.add_callback(at_twenty)
    trainer.train()
    assert 20 <= trainer.state.global_step < 80
    assert (tmp_path / f"checkpoint-{trainer.state.global_step}").is_dir()
    assert any("stops the training" in line for line in heard)


def test_an_act_ends_at_overfitting_with_the_best_checkpoint(tmp_path: Path) -> None:
    heard = Heard()
    trainer = Trainer(
        model=model(), args=arguments(
            tmp_path, max_steps=400, learning_rate=1e-2, warmup_steps=10, eval_strategy="steps",
            eval_steps=10, save_strategy="steps", save_steps=10, save_total_limit=2,
            load_best_model_at_end=True, logging_steps=5,
        ),
        train_dataset=Counting(16, noise=0.5), eval_dataset=Counting(64, noise=0.5, seed=9),
        callbacks=[AdvisorCallback("act", say=heard)],
    )  # fmt: skip
    trainer.train()
    assert trainer.state.global_step < 400
    assert any("Trainer loads the best checkpoint" in line for line in heard)
    best = min(row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(best, rel=1e-4)


def test_trl_is_one_line_too_and_its_adapter_is_known(base: Path, tmp_path: Path) -> None:
    heard = Heard()
    rows = [json.loads(line) for line in (ROOT / "presets/instructions.jsonl").open()]
    texts = [{"text": f"{r['instruction']} {r['context']} {r['response']}"} for r in rows[:256]]
    callback = AdvisorCallback(say=heard)
    trainer = SFTTrainer(
        model=str(base),
        args=SFTConfig(
            output_dir=str(tmp_path), max_steps=40, per_device_train_batch_size=4, max_length=64,
            learning_rate=1e-3, logging_steps=1, report_to=[], use_cpu=True, bf16=False,
            disable_tqdm=True, save_strategy="no",
        ),
        train_dataset=Dataset.from_list(texts),
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear"),
        callbacks=[callback],
    )  # fmt: skip
    trainer.train()
    report = callback.advice.report()
    assert report is not None
    values = report.run.config.values
    assert (values["method"], values["peft.dim"], values["optimizer.lr"]) == ("lora", 8, 1e-3)
    assert values["dataset.seq_length"] == 64
    assert len(report.run.series["train/loss"]) == 40
    assert not [line for line in heard.loud() if " error " in line]


def test_the_config_is_that_of_the_arguments(tmp_path: Path) -> None:
    adapted = get_peft_model(model(), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"]))
    args = arguments(tmp_path, gradient_accumulation_steps=2)
    values = config_of(args, adapted, None).values
    assert values["step_scheduler.global_batch_size"] == 16
    assert values["lr_scheduler.lr_decay_style"] == "cosine"
    assert (values["peft.dim"], values["method"]) == (4, "lora")
    assert config_of(args, model()).values["method"] == "full"


def test_what_it_found_is_what_check_finds_in_the_state(tmp_path: Path) -> None:
    from advisor.pipeline import Request, check_paths
    from advisor.rulebook.load import load_rules

    callback = AdvisorCallback(say=Heard())
    trainer = trained(tmp_path, callback, learning_rate=3.0, warmup_steps=0)
    trainer.save_state()
    report = callback.advice.report()
    assert report is not None
    (state,), _ = check_paths([tmp_path / "trainer_state.json"], load_rules(), Request())
    loss = state.run.series["train/loss"].values.tolist()
    assert report.run.series["train/loss"].values.tolist() == loss
    assert {f.code for f in state.findings} <= {f.code for f in report.findings}


def test_a_command_gets_what_is_raised(tmp_path: Path) -> None:
    out = tmp_path / "got.jsonl"
    write = "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + chr(10))"
    command = shlex.join([sys.executable, "-c", write, str(out)])
    heard = Heard()
    callback = AdvisorCallback(say=heard, on_finding=command, severity="info")
    trained(tmp_path / "run", callback, learning_rate=3.0, warmup_steps=0)
    got = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(got) == len([line for line in heard if " raised " in line])


def test_a_fault_of_ours_stops_no_training(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.delenv("ADVISE_DEBUG", raising=False)
    heard = Heard()
    callback = AdvisorCallback(say=heard)

    def broken(*row: object, **metrics: object) -> tuple[()]:
        raise ZeroDivisionError("ours")

    callback.on_train_begin = _and_then(  # type: ignore[method-assign]
        callback.on_train_begin, lambda: setattr(callback.advice.monitor, "observe", broken)
    )
    trainer = trained(tmp_path, callback, max_steps=10)
    assert trainer.state.global_step == 10
    assert len([line for line in heard if "the advice is off" in line]) == 1


def test_a_policy_that_is_none_is_refused_before_anything_trains() -> None:
    with pytest.raises(AdvisorError, match="policy"):
        AdvisorCallback("explode")


def test_a_process_that_is_not_the_first_says_nothing(tmp_path: Path) -> None:
    heard = Heard()
    callback = AdvisorCallback(say=heard)
    args = arguments(tmp_path)
    trainer = Trainer(model=model(), args=args, train_dataset=Counting(64), callbacks=[callback])
    trainer.state.is_world_process_zero = False
    callback.on_train_begin(args, trainer.state, trainer.control, model=trainer.model)
    callback.on_log(args, trainer.state, trainer.control, {"loss": float("nan")})
    callback.on_train_end(args, trainer.state, trainer.control)
    assert heard == []


class _Poison(AdvisorCallback):
    """Makes a weight NaN at a step, as a fault in a kernel would."""

    def __init__(self, step: int) -> None:
        super().__init__("off")
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            next(iter(kwargs["model"].parameters())).data.fill_(float("nan"))


def _and_then(first: Any, second: Any) -> Any:
    def both(*args: Any, **kwargs: Any) -> None:
        first(*args, **kwargs)
        second()

    return both
