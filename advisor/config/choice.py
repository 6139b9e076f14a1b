"""Which of the configs beside a log belongs to this run: the one whose values the log shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from advisor.config.agreement import Agreement, Clash, agreement
from advisor.config.files import ConfigSource, FoundConfig, candidates, is_next, values_trained_with
from advisor.dialects.words import name_of
from advisor.run import Run

_MINUTE = 60.0  # seconds; a config newer than its log by more was changed after the run


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen config, those of other runs, and what to tell the user about it."""

    taken: ConfigSource | None
    others: tuple[ConfigSource, ...] = ()  # ignored
    notes: tuple[str, ...] = ()


def choose(found: FoundConfig, run: Run | None) -> Choice:
    """Return the choice of this run's config; none is chosen if none agrees or several could be
    it."""
    files = candidates(found.sources)
    alien, notes = _alien(found, run)
    if run is None or not files:
        return Choice(files[0] if files else None, alien, notes)
    judged = [(file, agreement(values_trained_with(file, found.log_time), run)) for file in files]
    own = [pair for pair in judged if not pair[1].is_other and (pair[1].score > 0)]
    if own:
        best = max(own, key=lambda pair: pair[1].score)[0]  # the first of equals
        notes = (*notes, *_name_rivals(best, files))
        return Choice(best, (*alien, *_drop_best(files, best)), notes)
    likely = [pair for pair in judged if not is_next(pair[0].path)] or judged
    live = [pair for pair in likely if not _is_others(*pair, found)]
    same = live and all(file.values == live[0][0].values for file, _ in live)
    if same or (live and all(file.snapshot for file, _ in live[1:])):
        best = live[0][0]
        return Choice(best, (*alien, *_drop_best(files, best)), notes)
    said = _none_of(likely, [file for file, _ in live])
    return Choice(None, (*alien, *(file for file in files if not file.snapshot)), (*notes, said))


def _is_others(source: ConfigSource, found: Agreement, around: FoundConfig) -> bool:
    """Return whether a config clearly belongs to another run, and is not this run's, changed
    since."""
    if not found.is_other or source.snapshot:
        return False
    return not (found.only_rate and _is_newer(source, around.log_time))


def _is_newer(source: ConfigSource, log_time: float | None) -> bool:
    try:
        return log_time is not None and source.path.stat().st_mtime > log_time + _MINUTE
    except OSError:
        return False


def _alien(found: FoundConfig, run: Run | None) -> tuple[tuple[ConfigSource, ...], tuple[str, ...]]:
    """Return the records of other runs, and notes on configs of other trainers."""
    strangers = [source for source in found.sources if source.stranger]
    notes = [
        f"config: {source.path.name} is in the language of {source.stranger}: read, never changed"
        for source in strangers
    ]
    if run is None:
        return (), tuple(notes)
    out = []
    for source in found.sources:
        if source.dialect or not source.record:
            continue
        judged = agreement(source.values, run)
        if judged.is_other:
            out.append(source)
            notes.append(f"config: {_clash(source, judged.clashes)}: left out")
    return tuple(out), tuple(notes)


def _drop_best(files: Sequence[ConfigSource], best: ConfigSource) -> list[ConfigSource]:
    return [file for file in files if file is not best and not file.snapshot]


def _name_rivals(best: ConfigSource, files: Sequence[ConfigSource]) -> list[str]:
    """Return notes that name rival configs, except checkpoint copies and configs we wrote for a
    next run."""
    stem = f"{best.path.stem}.next"
    left = [f.path.name for f in _drop_best(files, best) if f.path.stem != stem]
    return [f"config: {best.path.name} taken, not {', '.join(left)}"] if left else []


def _none_of(judged: Sequence[tuple[ConfigSource, Agreement]], live: Sequence[ConfigSource]) -> str:
    """Return why no config was chosen, and what to do."""
    if live:
        names = " or ".join(source.path.name for source in live)
        return f"config: {names}? nothing in the log tells, so none is taken; give --config FILE"
    said = "; ".join(_clash(source, found.clashes) for source, found in judged[:3])
    more = f" and {len(judged) - 3} more" if len(judged) > 3 else ""
    return f"config: none taken: {said}{more}; give --config FILE if one is this run's all the same"


def _clash(source: ConfigSource, clashes: Sequence[Clash]) -> str:
    what = " and ".join(f"{name_of(c.key, source.dialect)} {c}" for c in clashes[:2])
    return f"{source.path.name} is another run's ({what})"
