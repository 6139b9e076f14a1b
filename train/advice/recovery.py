"""What the loop asks after each step: does a finding ask for a stop or a rollback, and to where?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from advisor.monitor import Change
from train.advice.decide import LEAP, Decision, Standing, decide
from train.advice.health import Health
from train.advice.saved_states import SavedState, SavedStates
from train.advice.sink import AdvisorSink
from train.checkpoint import Checkpoints, Progress
from train.errors import CheckpointError
from train.ranks.agreement import Alone, Ranks
from train.step import StepResult

_SHARE = 20  # a state that took 1 s to save is not followed by another within 20 s


@dataclass(slots=True)
class Recovery:
    """Decides for one run, and keeps the states that it can be rolled back to.

    ``states`` holds them (None: no rollback), one saved ``every`` so many steps; ``most`` is the
    largest number of rollbacks in a run.
    """

    sink: AdvisorSink | None  # None on all ranks but the first
    states: SavedStates | None = None
    every: int = 0
    most: int = 0
    ranks: Ranks = field(default_factory=Alone)
    _standing: Standing = field(default_factory=Standing)
    _health: Health = field(default_factory=Health)
    _not_before: float = 0.0
    _exhausted: bool = False

    def __post_init__(self) -> None:
        if self.sink is not None:
            self.sink.on_changes = self._take

    def _take(self, changes: Sequence[Change]) -> None:
        self._standing.take(changes)

    def add_step(self, step: int, result: StepResult) -> None:
        """Add the loss and gradient norm of a step."""
        self._health.add(step, result.loss, result.grad_norm)

    def decision(self, step: int, now: Progress) -> Decision | None:
        """Return what to do after a step; all ranks get the first one's answer."""
        return self.ranks.agree(self._decision(step, now))

    def _decision(self, step: int, now: Progress) -> Decision | None:
        if self.sink is None or not self._standing:
            return None
        change = self._standing.due(self._health)
        if change is None:
            return None
        # the plan starts from the config's rate: once that was cut, the rule's own factor holds
        edits = () if now.actions else self.sink.edits()
        found = decide(change, self._health, step, edits)
        if found.kind == "early_stop" and _has_never_improved(now):
            # no minimum to stop at: from the first step on it went the wrong way
            found = replace(found, kind="roll_back", factor=LEAP)
        if found.kind == "roll_back":
            return self._bound(found, step, now)
        return found

    def _bound(self, found: Decision, step: int, now: Progress) -> Decision | None:
        if self.states is None or now.actions >= self.most:
            self._say_no_more(step, found)
            return None
        if step <= now.back_from:  # the last cut did not carry it even this far
            found = replace(found, factor=min(found.factor, LEAP))
        return found

    def _say_no_more(self, step: int, found: Decision) -> None:
        if self.sink is not None and not self._exhausted:
            self._exhausted = True
            text = (
                f"{found.code} asks for a rollback, and {self.most} were done "
                "(advisor.max_actions); the run goes on as it is"
            )
            self.sink.say("notice", step, text)

    def keeps_after(self, step: int) -> bool:
        """Return whether the state after a step is to be saved for a rollback."""
        due = self.every > 0 and (step + 1) % self.every == 0
        return self.states is not None and due and time.monotonic() >= self._not_before

    def keep(self, state: SavedState, sure: bool = False) -> str:
        """Save the present state if the run is well; return what went wrong, '' for nothing."""
        well = sure or (self._health.well and not self._standing)
        if self.states is None or self.sink is None or not well:
            return ""
        began = time.monotonic()
        try:
            self.states.keep(state)
        except (OSError, CheckpointError) as error:
            why = getattr(error, "strerror", None) or error
            return f"{self.states.directory}: no state to roll back to can be saved: {why}"
        seconds = time.monotonic() - began
        self._not_before = began + _SHARE * seconds if seconds > 1 else 0.0
        return ""

    def newest(self, onset: int) -> SavedState | None:
        """Return the newest state from before a step; the first rank's answer counts."""
        return self.states.before(onset) if self.states is not None else None

    def give_up_on(self, decision: Decision) -> None:
        """Stop acting on a finding that no rollback can help."""
        self._standing.drop(decision.code)

    def forget_after(self, step: int) -> None:
        """Drop the saved states of later steps."""
        if self.states is not None and self.sink is not None:
            self.states.forget_after(step)

    def restart_at(self, step: int) -> None:
        """Start again at a step: forget what was seen of it and of later ones."""
        self._standing.clear()
        self._health = Health()
        self.forget_after(step)
        if self.sink is not None:
            self.sink.rewind(step)


def restore_before(
    onset: int, recovery: Recovery, checkpoints: Checkpoints | None
) -> SavedState | None:
    """Load the newest state saved before a step and return it; None where there is none.

    The first rank chooses the state for all ranks. Where no state is left, as after a resume,
    a checkpoint is loaded.
    """
    kept = recovery.newest(onset)
    older = checkpoints.before(onset) if kept is None and checkpoints is not None else None
    said = [asdict(kept) if kept else None, older.name if older else None]
    state, name = recovery.ranks.share(said)
    found: SavedState | None = None
    if state is not None and recovery.states is not None:
        found = SavedState(**state)
        recovery.states.load(found)
    elif name is not None and checkpoints is not None:
        then = checkpoints.load(checkpoints.directory / name)
        found = SavedState(then.progress.step, then.train_loss, then.val_loss)
    recovery.ranks.most(0)  # wait: the first rank may write only when all have read
    return found


def _has_never_improved(now: Progress) -> bool:
    return now.baseline is not None and (now.lowest is None or now.lowest >= now.baseline)
