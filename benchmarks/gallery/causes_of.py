"""The causes of each knob, most apt first, and the edits that cure it, any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Cure = dict[str, Any]
Entry = tuple[tuple[str, ...], tuple[Cure, ...]]


def _to(key: str, direction: str, value: object = None) -> Cure:
    cure: Cure = {"key": key, "direction": direction}
    return cure if value is None else {**cure, "value": value}


LR_UP, LR_DOWN = _to("optimizer.lr", "up"), _to("optimizer.lr", "down")
WARM = _to("lr_scheduler.lr_warmup_steps", "up")
CLIP = _to("clip_grad_norm.max_norm", "set", 1.0)
FEWER = (_to("step_scheduler.num_epochs", "down"), _to("step_scheduler.max_steps", "down"))
MORE = (_to("step_scheduler.num_epochs", "up"), _to("step_scheduler.max_steps", "up"))
BATCH_UP = (_to("step_scheduler.global_batch_size", "up"),
            _to("step_scheduler.local_batch_size", "up"),
            _to("step_scheduler.grad_acc_steps", "up"))  # fmt: skip
BATCH_DOWN = (_to("step_scheduler.global_batch_size", "down"),
              _to("step_scheduler.local_batch_size", "down"))  # fmt: skip
LOCAL_DOWN = _to("step_scheduler.local_batch_size", "down")
DECAY_UP = _to("optimizer.weight_decay", "up")
FILTER = _to("logging.nan_inf_filter", "set", False)
AMP = _to("precision.amp", "set", "bf16")
CUT = (LOCAL_DOWN, _to("distributed_config.activation_checkpointing", "set", True),
       _to("dataset.seq_length", "down"))  # fmt: skip
TARGETS = (_to("peft.match_all_linear", "set", True), _to("peft.target_modules", "set"))

_LOW: Entry = (("lr_too_low",), (LR_UP,))
_HIGH: Entry = (("lr_too_high",), (LR_DOWN,))
BY_KNOB: Mapping[str, Entry] = {
    **dict.fromkeys(("rate-thousandth", "rate-hundredth", "rate-thirtieth", "rate-tenth"), _LOW),
    **dict.fromkeys(("rate-x3", "rate-x10", "rate-x30", "rate-x100", "rate-x300",
                     "rate-x1000", "rate-x100-short", "rate-x1000-bare"), _HIGH),
    "no-warmup": (("lr_too_high", "warmup_too_short"), (LR_DOWN, WARM)),
    "no-clipping": (("lr_too_high", "missing_clipping"), (LR_DOWN, CLIP)),
    "batch-one": (("batch_too_small",), (*BATCH_UP, LR_DOWN)),
    "batch-huge": (("batch_too_large", "lr_too_low", "too_few_epochs"),
                   (*BATCH_DOWN, LR_UP, *MORE)),
    "many-epochs": (("too_many_epochs", "too_little_data"), (*FEWER, DECAY_UP)),
    "decay-none": (("weight_decay_too_low",), (DECAY_UP,)),
    "decay-far-too-much": (("weight_decay_too_high",), (_to("optimizer.weight_decay", "down"),)),
    "rank-one": (("rank_too_low", "alpha_too_low"),
                 (_to("peft.dim", "up"), _to("peft.alpha", "up"), LR_UP)),
    "rank-huge": (("rank_too_high", "too_many_epochs", "too_little_data"),
                  (_to("peft.dim", "down"), *FEWER)),
    "alpha-huge": (("alpha_too_high", "lr_too_high"), (_to("peft.alpha", "down"), LR_DOWN)),
    "masked-all": (("labels_or_mask_wrong",), ()),
    "masked-part": (("labels_or_mask_wrong",), ()),
    "prompt-supervised": (("labels_or_mask_wrong",),
                          (_to("dataset.answer_only_loss_mask", "set", True),)),
    "padding-supervised": (("padding_not_masked", "labels_or_mask_wrong"), ()),
    "end-missing": (("end_of_text_missing",), ()),
    "end-masked": (("end_of_text_masked",), ()),
    "shuffled": (("labels_or_mask_wrong", "bad_samples"), ()),
    "corrupted": (("bad_samples", "mixed_data"), ()),
    "long-samples": (("bad_samples", "sequence_too_long"), (_to("dataset.seq_length", "down"),)),
    "leaked": (("validation_leaked",), ()),
    "leaked-config": (("validation_leaked",),
                      (_to("validation_dataset.path_or_dataset_id", "set"),)),
    "duplicated": (("duplicates", "too_little_data", "too_many_epochs"), FEWER),
    "pure-bf16": (("bf16_rounding", "lr_too_low"),
                  (_to("model.torch_dtype", "set", "float32"), LR_UP)),
    "frozen": (("weights_frozen", "graph_cut"), ()),
    "targets-wrong": (("few_target_modules", "rank_too_low", "lr_too_low"),
                      (*TARGETS, _to("peft.dim", "up"))),
    "schedule-short": (("schedule_wrong",), (
        {**_to("lr_scheduler.lr_decay_steps", "up"), "trainers": ("ours",)},
        {**_to("lr_scheduler.lr_decay_steps", "remove"), "trainers": ("ours",)})),
    "schedule-per-rank": (("schedule_stepped_per_process", "schedule_wrong"), ()),
    "resume-new-optimizer": (("resume_without_state", "schedule_wrong"), ()),
    "resume-jump": (("resume_without_state", "schedule_wrong", "lr_too_high"), ()),
    "resume-same-order": (("data_order_repeats",), ()),
    "accumulation-summed": (("loss_not_normalised",), ()),
    "head-new": (("weights_newly_initialised",), ()),
    "hidden-nan": (("numerical_instability", "log_filter"), (FILTER, AMP)),
    "nan-late": (("numerical_instability", "bad_samples", "lr_too_high"), ()),
    "too-short": (("too_few_epochs", "run_cut_short"), MORE),
    "half-precision": (("fp16_overflow", "numerical_instability"), (AMP,)),
    "half-overflow": (("fp16_overflow", "numerical_instability"), (AMP,)),
    "out-of-memory": (("local_batch_too_large", "activations", "sequence_too_long"), CUT),
    "out-of-memory-eval": (("evaluation_keeps_logits", "evaluation_batch_too_large"), (
        _to("validation.accumulation_steps", "set"),
        _to("validation_dataloader.batch_size", "down"))),
    "idle-gpu": (("local_batch_too_small", "data_loading"), BATCH_UP),
    "data-stall": (("data_loading",), (_to("dataloader.num_workers", "up"),)),
}  # fmt: skip
# Of a run that was meant to be good and was not.
BY_OUTCOME: Mapping[str, Entry] = {
    "standstill": _LOW,
    "diverged": _HIGH,
    "broken": _HIGH,
    "overfits": (("too_many_epochs", "too_little_data"), FEWER),
    "nonfinite": (("numerical_instability", "lr_too_high"), ()),
}
