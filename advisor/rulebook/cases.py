"""The cases inside rule files: small runs in shorthand."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from advisor.dialects.keys import CANONICAL_KEYS
from advisor.errors import RuleError
from advisor.rulebook.causes import CAUSES
from advisor.rulebook.rule import Case
from advisor.run import Config, Event, FloatArray, Run, Series

BoolArray = NDArray[np.bool_]
EVENT_KINDS = ("exception", "oom", "stop", "resume", "checkpoint", "overflow_skip", "warning")
_NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
_ITEM = re.compile(
    rf"(?P<start>_|nan|-?inf|{_NUMBER})"
    rf"(?:>(?P<end>{_NUMBER})|(?P<slope>[-+](?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?))?"
    rf"(?:~(?P<noise>{_NUMBER}))?(?:x(?P<count>\d+))?"
)
_DECAY = 5.0  # time constants in 'A>BxN', so that it ends within 1% of B


def make_run(
    series: Mapping[str, str],
    *,
    every: Mapping[str, int] | None = None,
    epochs: float | None = None,
    config: Mapping[str, object] | None = None,
    facts: Mapping[str, object] | None = None,
    events: Sequence[Mapping[str, object]] = (),
    name: str = "case",
) -> Run:
    """Build a Run from shorthand: ``make_run({"train/loss": "2-0.02x50"})``."""
    every = every or {}
    columns = {}
    for key, text in series.items():
        values, missing = _parse(text, zlib.crc32(f"{name}/{key}".encode()))
        steps = np.arange(1, values.size + 1, dtype=np.int64) * int(every.get(key, 1))
        columns[key] = (steps[~missing], values[~missing])
    last = max((int(steps[-1]) for steps, _ in columns.values() if steps.size), default=1)
    return Run(
        path=name,
        format="case",
        series={
            key: Series(key, steps, values, None if epochs is None else steps / last * epochs)
            for key, (steps, values) in columns.items()
            if steps.size
        },
        config=Config(dict(config or {}), dict.fromkeys(config or {}, "case")),
        events=_events(events),
        facts=dict(facts or {}),
    )


def _events(given: Sequence[Mapping[str, object]]) -> tuple[Event, ...]:
    """Return the events of a case; ``times`` repeats one."""
    found = []
    for event in given:
        plain = {key: value for key, value in event.items() if key != "times"}
        found += [Event(**plain)] * int(str(event.get("times", 1)))  # type: ignore[arg-type]
    return tuple(found)


def run_of(case: Case) -> Run:
    """Return the Run that a case describes."""
    return make_run(
        case.series,
        every=case.every,
        epochs=case.epochs,
        config=case.config,
        facts=case.facts,
        events=case.events,
        name=case.name,
    )


def check_case(case: Case, guide: Sequence[str]) -> list[str]:
    """Return what is wrong with a case, without running it."""
    faults = [f"unknown config key '{key}'" for key in case.config if key not in CANONICAL_KEYS]
    for key, text in case.series.items():
        if not key.startswith(("train/", "eval/")):
            faults.append(f"series '{key}' begins with neither train/ nor eval/")
        try:
            _parse(text, 0)
        except RuleError as error:
            faults.append(str(error))
    absent = sorted(case.every.keys() - case.series.keys())
    faults += [f"'every' names the absent series '{key}'" for key in absent]
    for event in case.events:
        if (
            not event.keys() <= {"kind", "text", "step", "line", "final", "times"}
            or "text" not in event
        ):
            faults.append("an event has kind and text; it may have step, line, final, times")
        elif event.get("kind") not in EVENT_KINDS:
            faults.append(f"unknown event kind {event.get('kind')!r}")
    faults += [f"guide id '{i}' is not one of the rule's" for i in case.guide if i not in guide]
    faults += [f"unknown config key '{key}'" for key in case.edits if key not in CANONICAL_KEYS]
    if case.causes and case.causes not in CAUSES:
        faults.append(f"unknown cause '{case.causes}'")
    if (case.causes or case.edits) and case.expect != "fires":
        faults.append("only a case that fires has causes and edits")
    if case.trap and case.expect == "fires":
        faults.append("'trap' is for silent cases")
    return faults


def _parse(text: str, seed: int) -> tuple[FloatArray, BoolArray]:
    """Return the values of a shorthand and the mask of missing points, both of shape ``(n,)``.

    ``1x40`` means forty ones, ``2-0.02x40`` a slope, ``3>1x40`` a decay from 3 towards 1; ``~0.1``
    before the count adds noise, ``_`` is a missing point, ``nan`` and ``inf`` are themselves.
    """
    random = np.random.default_rng(seed)
    parts: list[FloatArray] = []
    masks: list[BoolArray] = []
    for item in text.split():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise RuleError(f"'{item}' is no shorthand (1x40, 2-0.02x40, 3>1~0.1x40, _, nan)")
        count = int(match["count"] or 1)
        if not 0 < count <= 1_000_000:
            raise RuleError(f"'{item}' has {count} values, expected 1 to 1000000")
        values = _values(match, count)
        if match["noise"]:
            values = values + random.normal(0.0, float(match["noise"]), count)
        parts.append(values)
        masks.append(np.full(count, match["start"] == "_"))
    if not parts:
        raise RuleError("a series without values")
    return np.concatenate(parts), np.concatenate(masks)


def _values(match: re.Match[str], count: int) -> FloatArray:
    start = float("nan" if match["start"] == "_" else match["start"])
    t = np.arange(count, dtype=np.float64)
    if match["end"]:
        end = float(match["end"])
        return end + (start - end) * np.exp(-_DECAY * t / count)
    return start + float(match["slope"] or 0.0) * t
