"""The trainer: fine-tunes a causal language model and logs every step for the advisor.

    config/      the YAML, read, checked and turned into dataclasses; where a run's folder is
    data/        rows from files or the hub -> tokens and labels -> micro-batches
    model/       the base model, its adapter or quantisation, attention over documents, the loss
    ranks/       several processes: who takes which batch, sums, who lags or is gone
    metrics/     records of steps, evaluations and events, and the sinks that take them
    advice/      the advisor beside the run: stop, or roll back to a saved state and cut the rate

    sft.py       one run from config to summary; build.py and components.py make its parts
    loop.py      the loop over steps; step.py is one step, evaluate.py one evaluation
    plan.py      how many steps there are, and of what; schedule.py and optim.py the rate and update
    checkpoint.py, checkpoint_files.py, weights.py   what is saved, where, and how it loads again
    out_of_memory.py, smaller_steps.py, stopping.py  what a run survives, and how it ends
    dry_run.py, evaluate_checkpoint.py, launch.py    the other things that `advise train` does

`advisor` never imports this package; a run reaches it by its log alone.
"""
