"""Places rows that a log only counts at the steps at which the config says they were logged."""

from __future__ import annotations

from dataclasses import replace

from advisor.run import Config, Event, Run, Series

COUNTED = "rows_counted"  # the fact that a reader sets for such a run
KEY = "logging.every_steps"
MOST = 1_000_000


def space_steps(run: Run, config: Config) -> Run:
    """Return the run with its steps as far apart as the config beside it logs them.

    If the run would become longer than planned, the config belongs to another run, and the steps
    stay.
    """
    every = config.values.get(KEY)
    if not run.facts.get(COUNTED) or not isinstance(every, int) or not 1 < every < MOST:
        return run
    last = max((int(one.steps[-1]) for one in run.series.values()), default=0) * every
    planned = run.facts.get("max_steps")
    if isinstance(planned, int | float) and last >= planned + every:
        return run
    facts = {name: value for name, value in run.facts.items() if name != COUNTED}
    return replace(
        run,
        series={name: _spread(one, every) for name, one in run.series.items()},
        events=tuple(_move(event, every) for event in run.events),
        facts=facts,
        notes=(*run.notes, f"{config.origin.get(KEY, 'the config')} logs every {every} steps"),
    )


def _spread(series: Series, every: int) -> Series:
    return replace(series, steps=series.steps * every)


def _move(event: Event, every: int) -> Event:
    return event if event.step is None else replace(event, step=event.step * every)
