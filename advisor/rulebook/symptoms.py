"""The fixed names of what can be seen in a run, and what each means, in a line."""

from __future__ import annotations

SYMPTOMS: dict[str, str] = {
    "nonfinite": "NaN or infinity in a loss, or a loss of exactly 0 beside NaN gradients: the "
    "arithmetic is broken.",
    "no_signal": "The loss is exactly 0 or exactly constant, or every gradient is 0: nothing is "
    "learnt from the data.",
    "lr_too_low": "The loss stays within its noise of where it started.",
    "slow": "The loss falls steadily but so slowly that it ends far from where it is heading.",
    "divergence": "The loss leaves its best level for good and ends clearly above it.",
    "spikes": "Several sudden jumps of the loss, or a large one that is slow to heal.",
    "spike": "One sudden jump of the loss that heals quickly.",
    "oscillation": "Large swings that go on and on and follow neither noise nor the epochs.",
    "noisy": "Noise from step to step so large that it hides the trend.",
    "plateau": "The loss goes flat early, above where it should be, and stays there.",
    "underfit": "Training and validation loss both end high and close to each other.",
    "overfit": "The validation loss ends above its minimum, beyond its own noise and by at least "
    "a few percent, while the training loss keeps falling or stays low.",
    "overfit_onset": "The validation loss has gone flat while the training loss keeps falling.",
    "undertrained": "The loss is still falling clearly when the run ends.",
    "early_plateau": "Training and validation loss both go flat within the first epoch.",
    "memorized": "The training loss nears 0 or falls in steps at the epochs' borders.",
    "grad_spikes": "The gradient norm jumps to many times its median, again and again.",
    "grad_vanishing": "The gradient norm shrinks towards 0 while the loss is still high.",
    "clipping": "Nearly every step is clipped, or clipping is missing where it is needed.",
    "lr_schedule": "The learning rate is at its floor too early, jumps, or warms up wrongly.",
    "oom": "The device or its host ran out of memory.",
    "low_utilization": "The device is idle for much of each step.",
    "data_stall": "Steps wait for the data loader.",
    "no_eval": "There is no validation loss, so overfitting cannot be seen.",
    "eval_leak": "The validation set overlaps the training set, so it cannot show overfitting.",
    "data_format": "The samples do not have the form that the model is trained on.",
    "numerics": "Precision or loss scaling puts the arithmetic at risk.",
    "resume_jump": "The loss or the learning rate jumps where a run was resumed.",
    "forgetting": "The tuned model is worse than its base model outside the task.",
    "repetition": "The tuned model repeats itself or copies its training samples.",
    "config": "A setting lies outside what is recommended, or what the run stood on (code, device, "
    "disk, scheduler) ended it, whatever the curves say.",
    "converged": "The loss has settled at a good level; nothing needs to be done.",
}
