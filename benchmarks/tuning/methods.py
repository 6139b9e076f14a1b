"""What tuning methods do on a grid: ours, and what they are compared with.

Each takes the same start's run first, proposes points of the same space, and pays for what an
early stop left unfinished. What comes back is the list of runs in order.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from advisor.tuning.choice import noise_of
from advisor.tuning.strategy import next_run as strategy
from advisor.tuning.trial import Limits, Stop, Trial, TrialProposal
from benchmarks.tuning.surface import Ran, Surface, World, start_of
from benchmarks.tuning.tasks import BATCH, EPOCHS, LR, RANK


@dataclass
class Session:
    """One start in one draw of the world, and the runs that were made from it."""

    world: World
    start: dict[str, object]
    ran: list[Ran]

    @property
    def surface(self) -> Surface:
        return self.world.surface

    def run(self, proposal: TrialProposal, hopeless: Callable[[Trial], str] | None = None) -> Ran:
        found = self.world.run(len(self.ran) + 1, proposal, hopeless)
        self.ran.append(found)
        return found

    def at(self, point: dict[str, float]) -> TrialProposal:
        return TrialProposal({**self.start, **point})


def begin(surface: Surface, point: dict[str, Any], seed: int) -> Session:
    """Run the start itself, its rate moved a little: no method knows where the grid's lines lie."""
    world = World(surface, seed)
    rng = random.Random(f"start:{seed}")
    point = {**point, LR: point[LR] * 10 ** rng.uniform(-0.2, 0.2)}
    line = world.line(surface.cell_of(point))
    values = {**start_of(surface.task, point, line), **point}
    session = Session(world, values, [])
    first = session.run(TrialProposal(values, reason="the start"))
    session.ran[0] = replace(first, trial=replace(first.trial, values=values))
    return session


Method = Callable[[Session, random.Random], None]


def ours(runs: int = 8) -> Method:
    def method(session: Session, rng: random.Random) -> None:
        limits = Limits(runs=runs, ranges=_room(session))
        while sum(r.trial.kind == "full" for r in session.ran) < runs:
            history = [r.trial for r in session.ran]
            noise = noise_of(history)
            found = strategy.propose(history, session.start, limits, noise)
            if isinstance(found, Stop):
                return
            known = {"history": history, "limits": limits, "noise": noise}
            session.run(found, partial(strategy.explain_hopeless, **known))

    return method


def _room(session: Session) -> dict[str, tuple[float, float]]:
    """Return the space that all methods have: the grid's; what is no axis stays as it is."""
    axes = session.surface.task.axes
    pinned = (EPOCHS, RANK, "optimizer.weight_decay", "peft.dropout",
              "lr_scheduler.lr_warmup_steps", "clip_grad_norm.max_norm")  # fmt: skip
    values = {key: session.start[key] for key in pinned if key in session.start}
    fixed = {key: (float(v), float(v)) for key, v in values.items() if isinstance(v, (int, float))}
    return {**fixed, **{key: (min(axis), max(axis)) for key, axis in axes.items()}}


def sampled(
    points: Callable[[Session, random.Random], Iterator[dict[str, float]]], trials: int
) -> Method:
    def method(session: Session, rng: random.Random) -> None:
        for point, _ in zip(points(session, rng), range(trials - 1), strict=False):
            session.run(session.at(point))

    return method


def uniform(session: Session, rng: random.Random) -> Iterator[dict[str, float]]:
    while True:
        yield _point(session, [rng.random() for _ in session.surface.task.axes])


def quasi(session: Session, rng: random.Random) -> Iterator[dict[str, float]]:
    from scipy.stats import qmc

    sampler = qmc.Sobol(len(session.surface.task.axes), rng=rng.randrange(2**31))
    for row in sampler.random(64):
        yield _point(session, list(row))


def _point(session: Session, shares: Sequence[float]) -> dict[str, float]:
    """Return a point of the space: log-uniform between the ends of every axis."""
    found = {}
    for (key, axis), share in zip(session.surface.task.axes.items(), shares, strict=True):
        low, high = math.log(axis[0]), math.log(axis[-1])
        value = math.exp(low + share * (high - low))
        found[key] = value if key == LR else round(value)
    return found


def sweep(session: Session, rng: random.Random) -> None:
    """Five rates around the start, half a decade apart, as the guide has it."""
    rate = float(session.start[LR])  # type: ignore[arg-type]
    for power in (-1.0, -0.5, 0.5, 1.0):
        session.run(session.at({LR: rate * 10**power}))


def tpe(trials: int, prune: bool = False) -> Method:
    def method(session: Session, rng: random.Random) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        median = optuna.pruners.MedianPruner(n_startup_trials=3)
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=rng.randrange(2**31)),
            pruner=median if prune else optuna.pruners.NopPruner(),
        )
        axes = session.surface.task.axes
        ends = {
            k: optuna.distributions.FloatDistribution(a[0], a[-1], log=True)
            for k, a in axes.items()
        }
        first = {k: min(max(float(session.start[k]), a[0]), a[-1]) for k, a in axes.items()}  # type: ignore[arg-type]
        study.add_trial(
            optuna.trial.create_trial(params=first, distributions=ends, value=session.ran[0].val)
        )
        for _ in range(trials - 1):
            trial = study.ask(ends)
            point = {k: v if k == LR else round(v) for k, v in trial.params.items()}
            looked = _pruner(trial, session) if prune else None
            found = session.run(session.at(point), looked)
            state = (
                optuna.trial.TrialState.PRUNED
                if found.share < 1
                else optuna.trial.TrialState.COMPLETE
            )
            study.tell(
                trial, found.val if math.isfinite(found.val) else 1e3, state
            ) if found.share == 1 else study.tell(trial, state=state)

    return method


def _pruner(trial: Any, session: Session) -> Callable[[Trial], str]:
    """Report what the held-out rows said by each tenth of the run, and ask whether to go on."""
    seen = [0]

    def looked(sofar: Trial) -> str:
        seen[0] += 1
        if sofar.best_val is not None:
            trial.report(sofar.best_val, seen[0])
        return "pruned" if sofar.best_val is not None and trial.should_prune() else ""

    return looked


def asha(trials: int) -> Method:
    """Successive halving: a quarter of the run, then the best third goes on to the whole."""

    def method(session: Session, rng: random.Random) -> None:
        points, rungs = uniform(session, rng), []
        for _ in range(trials - 1):
            proposal = session.at(next(points))
            steps = max(1, round(session.world.steps_of(proposal) / 4))
            short = session.run(replace(proposal, kind="probe", max_steps=steps))
            rungs.append(
                (
                    short.val,
                    float(short.trial.losses[-1]) if short.trial.losses.size else 1e9,
                    proposal,
                )
            )
            rungs.sort(key=lambda each: (each[0], each[1]))
            if any(each[2] is proposal for each in rungs[: max(1, len(rungs) // 3)]):
                whole = session.run(proposal)
                # it goes on from where it was cut off
                session.ran[-1] = replace(
                    whole, tokens=whole.tokens - short.tokens, share=whole.share - short.share
                )

    return method


def random_repair(runs: int = 8) -> Method:
    """The same edits as ours may make, in random order and direction, from the best run so far."""

    def method(session: Session, rng: random.Random) -> None:
        while len(session.ran) < runs:
            base = min(session.ran, key=lambda r: r.val)
            point = {k: float(base.trial.values[k]) for k in session.surface.task.axes}  # type: ignore[arg-type]
            key = rng.choice(sorted(point))
            factor = (
                rng.choice((10.0, 3.0, 0.3, 0.1))
                if key == LR
                else rng.choice((4.0, 2.0, 0.5, 0.25))
            )
            point[key] = point[key] * factor if key == LR else max(1, round(point[key] * factor))
            if key == BATCH:
                point[LR] *= math.sqrt(factor)
            session.run(session.at(point))

    return method


METHODS: dict[str, Method] = {
    "ours": ours(),
    "ours 2": ours(2),
    "ours 4": ours(4),
    "sweep of 5": sweep,
    "random repair": random_repair(),
    "random 8": sampled(uniform, 8),
    "random 16": sampled(uniform, 16),
    "quasi-random 8": sampled(quasi, 8),
    "TPE": tpe(40),
    "TPE 20 + median pruner": tpe(20, prune=True),
    "ASHA 20": asha(20),
}  # fmt: skip

# Optuna's own defaults, so that a shorter study is the beginning of a longer one.
PREFIXES: dict[str, dict[str, int | None]] = {"TPE": {f"TPE {n}": n for n in (5, 10, 20, 40)}}
