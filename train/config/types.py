"""The checked config of a run: one frozen dataclass a section, with AutoModel's defaults.

Sources of the defaults are AutoModel's, except where a field is marked 'ours'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DataKind = Literal["columns", "chat", "xlam", "user"]
DecayStyle = Literal["cosine", "linear", "constant", "inverse-square-root", "WSD"]
Method = Literal["full", "lora", "dora", "qlora"]
ValidationPart = Literal["whole", "selection", "test"]
AdvicePolicy = Literal["warn", "stop", "act", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """``source``: load weights, or build them new from a model config. ``dtype``: auto, or a
    torch name (bfloat16, float16, float32)."""

    pretrained_model_name_or_path: str
    source: Literal["from_pretrained", "from_config"] = "from_pretrained"
    dtype: str = "auto"
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    force_hf: bool = False
    is_meta_device: bool = False
    tokenizer: str | None = None  # None: it lies with the model
    config: Mapping[str, object] = field(default_factory=dict)  # overrides for from_config


@dataclass(frozen=True, slots=True, kw_only=True)
class StepConfig:
    """Sizes count rows (a packed row is one). ``ckpt_every_steps`` None: once an epoch."""

    global_batch_size: int = 32
    local_batch_size: int = 1
    num_epochs: int = 10
    max_steps: int | None = None
    ckpt_every_steps: int | None = 100
    val_every_steps: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """``name``: a class of torch.optim, or one of bitsandbytes (AdamW8bit, PagedAdamW8bit).
    ``options`` go to it as they are, ``lr`` among them."""

    name: str = "AdamW"
    lr: float = 1e-5
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """None fields are worked out once the number of steps is known: warm-up
    min(1000, steps // 10), decay over all steps, init 0.1 lr, min 0.01 lr."""

    lr_decay_style: DecayStyle = "cosine"
    lr_warmup_steps: int | None = None
    lr_decay_steps: int | None = None
    init_lr: float | None = None
    max_lr: float | None = None
    min_lr: float | None = None
    wsd_decay_steps: int | None = None
    lr_wsd_decay_style: str = "cosine"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeftConfig:
    """LoRA and DoRA. ``target_modules`` and ``exclude_modules`` are patterns over full module
    names. ``lora_A_init``: xavier or kaiming."""

    target_modules: tuple[str, ...] = ()
    exclude_modules: tuple[str, ...] = ()
    match_all_linear: bool = False
    dim: int = 8
    alpha: int = 32
    dropout: float = 0.0
    dropout_position: Literal["post", "pre"] = "post"
    lora_A_init: str = "xavier"
    use_dora: bool = False
    use_rslora: bool = False  # ours
    use_triton: bool = False
    modules_to_save: tuple[str, ...] = ()  # ours


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantConfig:
    """bitsandbytes; 4 bits or 8 bits, not both."""

    load_in_4bit: bool = False
    load_in_8bit: bool = False
    bnb_4bit_compute_dtype: str = "bfloat16"
    bnb_4bit_use_double_quant: bool = True
    bnb_4bit_quant_type: str = "nf4"
    bnb_4bit_quant_storage: str = "bfloat16"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackingConfig:
    """``packed_sequence_size``: tokens of a packed row, 0 off, -1 'auto' (ours: the 95th
    percentile of sample lengths)."""

    packed_sequence_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetConfig:
    """``source``: a hub id or local path (JSON, JSONL, parquet). ``kind`` 'user' takes
    ``target``, a dotted path or file.py:attr, and ``options`` as its arguments."""

    kind: DataKind
    source: str = ""
    split: str | None = None
    name: str | None = None
    column_mapping: Mapping[str, str] = field(default_factory=dict)
    answer_only_loss_mask: bool = True
    use_hf_chat_template: bool = False
    seq_length: int | None = None
    limit_dataset_samples: int | None = None
    streaming: bool = False
    target: str = ""
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderConfig:
    """StatefulDataLoader; ``shuffle`` None is True for training, False for validation."""

    shuffle: bool | None = None
    num_workers: int = 0
    pin_memory: bool = False
    drop_last: bool = False
    batch_size: int | None = None  # validation: None is the local batch size


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointConfig:
    """``keep_last`` (ours): how many step folders stay beside best and latest; None all."""

    enabled: bool = True
    checkpoint_dir: str = "checkpoints/"
    model_save_format: str = "safetensors"
    save_consolidated: bool = False
    restore_from: str | None = None
    keep_last: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributedConfig:
    """Several processes train data-parallel, each with the whole model; other sizes above 1 are
    refused with one line."""

    strategy: str = "fsdp2"
    dp_size: int | None = None
    tp_size: int = 1
    cp_size: int = 1
    pp_size: int = 1
    activation_checkpointing: bool = False
    sequence_parallel: bool = False
    backend: str = "nccl"
    timeout_minutes: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """All kinds give the same number: the head runs on label positions only, in chunks."""

    kind: Literal["masked", "chunked", "fused_linear"] = "masked"


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyConfig:
    """Ours. What the loop does when a step goes wrong; section ``safety`` of the YAML."""

    max_nonfinite_steps: int = 10  # in a row, before the run stops
    halve_batch_on_oom: bool = False
    baseline_validation: bool = True  # before the first step


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvisorConfig:
    """Ours. What the advisor may do while the run trains; section ``advisor`` of the YAML.

    ``stop_on`` and ``act_on`` hold codes or symptoms; None: what the policy does by itself.
    ``good_every_steps`` None: a twentieth of the run, between 5 and 100 steps.
    """

    enabled: bool = True
    policy: AdvicePolicy = "warn"
    stop_on: tuple[str, ...] | None = None
    act_on: tuple[str, ...] | None = None
    max_actions: int = 3
    on_finding: str | None = None  # a command; no shell runs it
    rules: tuple[str, ...] = ()  # files or folders of rules beside the bundled ones
    good_every_steps: int | None = None  # how often `act` keeps a state to go back to

    @property
    def on(self) -> bool:
        return self.enabled and self.policy != "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingConfig:
    """Trackers that are on; a mapping holds the options of one, None: it is off."""

    wandb: Mapping[str, object] | None = None
    mlflow: Mapping[str, object] | None = None
    tensorboard: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that a run is started from, checked."""

    model: ModelConfig
    dataset: DatasetConfig
    validation_dataset: DatasetConfig | None = None
    validation_split: float = 0.0  # ours: this share of the training set, chosen by hash
    validation_part: ValidationPart = "whole"  # ours: of the held-out rows, by hash; for tuning
    step_scheduler: StepConfig = field(default_factory=StepConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    lr_scheduler: ScheduleConfig | None = None  # None: a constant rate without warm-up
    max_norm: float | None = 1.0  # None or 0 in the YAML's clip_grad_norm.max_norm: no clipping
    peft: PeftConfig | None = None
    quantization: QuantConfig | None = None
    packed_sequence: PackingConfig = field(default_factory=PackingConfig)
    dataloader: LoaderConfig = field(default_factory=LoaderConfig)
    validation_dataloader: LoaderConfig = field(default_factory=LoaderConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    distributed: DistributedConfig = field(default_factory=DistributedConfig)
    loss_fn: LossConfig = field(default_factory=LossConfig)
    safety: SafetyConfig = field(default_factory=SafetyConfig)
    advisor: AdvisorConfig = field(default_factory=AdvisorConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    seed: int = 42
    compile: bool = False
    allow_user_modules: bool = False

    @property
    def method(self) -> Method:
        """Which weights are trained, and how."""
        if self.peft is None:
            return "full"
        if self.quantization is not None:
            return "qlora"
        return "dora" if self.peft.use_dora else "lora"
