"""Trainers whose configs we recognise and leave alone.

A row is the trainer's common name and the marks of its configs (see ``marks``). To distinguish one
more trainer from the dialects, add a row. Values are read under names that all trainers share
(``generic``), and such a config is never written, even where it shares names with Hugging Face's
arguments.
"""

from __future__ import annotations

from collections.abc import Mapping

from advisor.dialects.marks import bears

STRANGERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("torchtune", ("*._component_",)),
    ("DeepSpeed", (
        "train_micro_batch_size_per_gpu", "zero_optimization", "optimizer.type optimizer.params.lr",
        "scheduler.params.warmup_max_lr",
    )),
    ("Accelerate", (
        "compute_environment", "distributed_type num_processes", "deepspeed_config num_machines",
        "fsdp_config num_processes",
    )),
    ("LitGPT", (
        "train.lr_warmup_steps train.micro_batch_size", "checkpoint_dir train.global_batch_size",
        "*.class_path=^litgpt",
    )),
    ("Megatron-LM", ("micro_batch_size train_iters", "*.lr_warmup_iters", "*.lr_decay_iters")),
    ("lit-llama's scripts", ("micro_batch_size max_iters", "lora_query", "max_iters lora_r")),
    ("nanoGPT", ("max_iters eval_interval", "max_iters lr_decay_iters", "block_size n_embd")),
    ("NeMo", (
        "exp_manager", "model.optim trainer", "*.tensor_model_parallel_size", "megatron_cfg",
        "policy.train_global_batch_size",
    )),
    ("Lightning CLI", (
        "seed_everything trainer", "*.class_path *.init_args", "trainer.accelerator",
        "trainer.gradient_clip_val", "trainer.accumulate_grad_batches",
    )),
    ("kohya's scripts", (
        "network_dim", "network_module", "unet_lr", "max_train_epochs train_batch_size",
    )),
    ("diffusers' scripts", (
        "max_train_steps learning_rate", "num_train_epochs lr_warmup_steps", "adam_weight_decay",
        "num_train_epochs checkpointing_steps", "num_warmup_steps learning_rate",
    )),
    ("MLX", (
        "iters adapter_path", "iters steps_per_report", "lora_parameters", "steps_per_eval",
        "iters val_batches",
    )),
    ("LLM Foundry", (
        "max_duration", "device_train_microbatch_size", "global_train_batch_size",
    )),
    ("veRL", ("actor_rollout_ref", "algorithm.adv_estimator", "data.train_batch_size trainer")),
    ("OpenRLHF", ("micro_train_batch_size", "zero_stage max_epochs")),
    ("trlX", ("train.total_steps method.name", "optimizer.kwargs")),
    ("torchtitan", ("training.local_batch_size", "job.dump_folder", "parallelism training")),
    ("fairseq", ("optimization distributed_training", "optimization.max_update")),
    ("ESPnet", ("optim_conf", "accum_grad", "batch_bins")),
    ("MMEngine", ("optim_wrapper", "train_cfg val_cfg")),
    ("Detectron2", ("SOLVER.BASE_LR",)),
    ("Ultralytics", ("lr0", "lrf")),
    ("Ludwig", ("input_features output_features",)),
    ("AutoTrain", ("backend params", "task=^llm params")),
    ("OneTrainer", ("training_method learning_rate_scheduler",)),
    ("ai-toolkit", ("config.process",)),
    ("SimpleTuner", ("--learning_rate", "--train_batch_size")),
    ("spaCy", ("training.optimizer nlp",)),
    ("PaddleNLP", ("tensor_parallel_degree",)),
    ("Hydra", ("hydra", "defaults", "*._target_")),
)  # fmt: skip


def stranger(tree: Mapping[str, object]) -> str:
    """Return the name of the unsupported trainer whose config this is, '' if none is known."""
    return next((name for name, marks in STRANGERS if bears(tree, marks)), "")
