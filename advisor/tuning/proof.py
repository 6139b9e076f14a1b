"""The best run against the start, with confidence intervals, on rows that no decision used."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from advisor.errors import AdvisorError
from advisor.tuning.choice import best_of, clear_margin, is_better, is_eligible
from advisor.tuning.crashes import NoResult
from advisor.tuning.driver import Driver
from advisor.tuning.launch import Job, Local, read_exit, settle
from advisor.tuning.ledger import Entry
from advisor.tuning.reading import OUTPUT, find_last_line, read_console_tail
from advisor.tuning.session import Session
from advisor.tuning.trial import Trial

DRAWS, SEED = 4000, 0  # of the bootstrap
LEVEL = 0.95  # of its intervals
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean loss (nats per token, as logged) with its 95% interval; None where unknown."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """The result of a session. Losses are means per token, as logged, on ``measured_on``."""

    best: int  # number of the recommended run
    better: bool  # False: the start is kept
    why: str  # why the best was or was not taken
    stopped: str  # why the session ended
    measured_on: str = "validation"  # or 'test': rows that no decision touched
    start_loss: Interval | None = None
    best_loss: Interval | None = None
    gain: Interval | None = None  # the start's loss minus the best's
    samples: int = 0  # test rows; 0 where measured on validation
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as a JSON object."""
        return asdict(self)


def outcome_from(said: Mapping[str, Any]) -> SessionOutcome:
    """Return the outcome stored in the Ledger; ValueError where it does not have its form."""
    return msgspec.convert(said, SessionOutcome)


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of n held-out samples, in the order of the data."""

    losses: Array  # (n,), summed over each sample's tokens, in nats
    tokens: Array  # (n,), tokens of each sample that count


def bootstrap(one: Losses, other: Losses) -> tuple[Interval, Interval, Interval]:
    """Return both runs' mean losses per token and ``one - other``, each with its 95% interval.

    A paired percentile bootstrap (Efron and Tibshirani 1993, chapter 13): every draw takes the
    same samples of both runs, so that the samples' own difficulty cancels out.
    """
    random = np.random.default_rng(SEED)
    count = one.losses.size
    drawn = random.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(np.float64)
    first = (drawn @ one.losses) / np.maximum(drawn @ one.tokens, 1.0)
    second = (drawn @ other.losses) / np.maximum(drawn @ other.tokens, 1.0)
    means = [float(x.losses.sum() / max(1.0, x.tokens.sum())) for x in (one, other)]
    return (
        _interval(means[0], first),
        _interval(means[1], second),
        _interval(means[0] - means[1], first - second),
    )


def _interval(value: float, draws: Array) -> Interval:
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


@dataclass(slots=True)
class Proof:
    """Decides between start and best, and measures the gain."""

    session: Session
    driver: Driver
    say: Callable[[str], None]

    def prove(self, stopped: str, noise: float | None) -> SessionOutcome:
        """Return the outcome of a session whose runs are done.

        ``stopped`` is why they are, ``noise`` the standard error of one evaluation. NoResult where
        no run has a validation loss.
        """
        entries = {e.plan.number: e for e in self.session.ledger.entries() if e.trial is not None}
        trials = [e.trial for e in entries.values() if e.trial is not None]
        start, best = entries.get(1), best_of(trials)
        if start is None or start.trial is None:
            raise NoResult(f"{self.session.folder}: the start has not run; see its console.log")
        if best is None:
            raise NoResult(f"{self.session.folder}: {_explain_no_best(trials)}")
        return self._compare(start, entries[best.number], stopped, noise)

    def _compare(
        self, start: Entry, best: Entry, stopped: str, noise: float | None
    ) -> SessionOutcome:
        assert start.trial is not None and best.trial is not None
        if best.plan.number == start.plan.number:
            notes, alone = self._measure_alone(start)
            return SessionOutcome(1, False, "no run is better than the start", stopped,
                           "test" if alone else "validation", alone or _interval_of(start.trial),
                           alone or _interval_of(start.trial), None, notes=notes)  # fmt: skip
        if not is_eligible(start.trial):
            return self._accept_alone(start, best, stopped)
        if not self.driver.ours:
            return _compare_curves(start.trial, best.trial, stopped, noise)
        pairs, why = self._measure_pairs(start, best)
        if pairs is None:
            found = _compare_curves(start.trial, best.trial, stopped, noise)
            return replace(found, notes=(f"no test split: {why}",))
        _, _, chosen_by = bootstrap(*pairs["selection"])
        first, second, gain = bootstrap(*pairs["test"])
        better = (chosen_by.low or 0.0) > 0
        why = (
            f"lower by {chosen_by.value:.4f} on the rows used for decisions, beyond its uncertainty"
            if better
            else "the gain is within the noise of the evaluation: the start is kept"
        )
        number = best.plan.number if better else 1
        return SessionOutcome(
            number, better, why, stopped, "test", first, second if better else first,
            gain if better else None, int(pairs["test"][0].losses.size),
            notes=() if better else (_explain_not_taken(best, gain),),
        )  # fmt: skip

    def _measure_alone(self, start: Entry) -> tuple[tuple[str, ...], Interval | None]:
        if not self.driver.ours:
            return (), None
        try:
            found = self._measure(start, "test")
        except AdvisorError as error:
            return (f"no test split: {error}",), None
        return (), bootstrap(found, found)[0]

    def _accept_alone(self, start: Entry, best: Entry, stopped: str) -> SessionOutcome:
        assert best.trial is not None and start.trial is not None
        notes, alone = self._measure_alone(best)
        why = f"the start gave no validation loss ({start.trial.status})"
        kind = "test" if alone else "validation"
        seen = alone or _interval_of(best.trial)
        return SessionOutcome(
            best.plan.number, True, why, stopped, kind, None, seen, None, notes=notes
        )

    def _measure_pairs(
        self, start: Entry, best: Entry
    ) -> tuple[dict[str, tuple[Losses, Losses]] | None, str]:
        try:
            found = {
                part: (self._measure(start, part), self._measure(best, part))
                for part in ("selection", "test")
            }
        except AdvisorError as error:
            return None, str(error)
        for one, other in found.values():
            if one.losses.size != other.losses.size or one.losses.size < 2:
                return None, "the runs were evaluated on different samples"
        return found, ""

    def _measure(self, entry: Entry, part: str) -> Losses:
        """Return the losses of a run's best checkpoint on one part of the held-out rows.

        Measured once a run and kept in the Ledger. ``part`` is 'selection' or 'test'.
        """
        number, ledger = entry.plan.number, self.session.ledger
        said = ledger.test_losses(number)
        if said is None:
            said = self._evaluate(entry)
            ledger.note_test(number, said)
        try:
            rows = np.array(said["test"], np.bool_) == (part == "test")
            losses, tokens = (np.array(said[k], np.float64)[rows] for k in ("losses", "tokens_of"))
        except (TypeError, KeyError, ValueError, IndexError, OverflowError) as error:
            raise AdvisorError(f"run {number}: damaged losses ({error!r})") from None
        if not losses.size:
            raise AdvisorError(f"no held-out row falls into the {part} half; hold out more")
        return Losses(losses, tokens)

    def _evaluate(self, entry: Entry) -> dict[str, Any]:
        self.say(f"run {entry.plan.number}: its best checkpoint, sample by sample")
        run = self.session.place(entry.plan.folder)
        folder, out = run / "evaluate", run / "held-out.json"
        settle(folder)
        words = self.driver.build_evaluation((run / OUTPUT).resolve(), out.resolve())
        running = Local().start(Job(folder.resolve(), words, self.session.setup.cwd))
        try:
            while not running.poll():
                time.sleep(0.1)
        except BaseException:
            running.pause()
            raise
        done = read_exit(folder)
        if done is None or done.status:
            raise AdvisorError(find_last_line(read_console_tail(folder)).removeprefix("train: "))
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        if not all(map(math.isfinite, found["losses"])):
            raise AdvisorError(f"{run}: the losses of its checkpoint are not finite")
        return found


def _explain_no_best(trials: Sequence[Trial]) -> str:
    """Return why no run can be chosen: how the runs ended, or what they did not log."""
    ends = Counter(trial.status for trial in trials if trial.kind == "full")
    if ends["finished"]:
        return "no run logged a validation loss to choose by; add a validation set"
    how = ", ".join(f"{count} {status}" for status, count in ends.items())
    return f"no whole run reached a validation loss ({how}); `advise report` shows each"


def _interval_of(trial: Trial) -> Interval | None:
    return None if trial.best_val is None else Interval(trial.best_val)


def _compare_curves(start: Trial, best: Trial, stopped: str, noise: float | None) -> SessionOutcome:
    """Return the outcome by the logged validation losses: another trainer offers no test split."""
    better = is_better(best, start, noise)
    gain = float(start.best_val or 0.0) - float(best.best_val or 0.0)
    half = clear_margin(best, start, noise)
    return SessionOutcome(
        best.number if better else 1,
        better,
        "beyond the noise of its evaluations" if better else
        "the gain is within the noise of the evaluations: the start is kept",
        stopped,
        start_loss=_interval_of(start),
        best_loss=_interval_of(best if better else start),
        gain=Interval(gain, gain - half, gain + half) if better else None,
        notes=(
            "measured on the validation loss that chose the run, which flatters it: this trainer"
            " offers no test split",
        ),
    )  # fmt: skip


def _explain_not_taken(best: Entry, gain: Interval) -> str:
    return f"run {best.plan.number}, lowest on validation, gains {gain.value:.4f} on test"
