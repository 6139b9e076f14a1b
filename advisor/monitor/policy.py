"""The policy of a Monitor: which findings stop a run, and which the trainer acts on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Literal, get_args

from advisor.errors import AdvisorError
from advisor.findings import Finding
from advisor.rulebook.rule import Rulebook
from advisor.rulebook.symptoms import SYMPTOMS

Mode = Literal["off", "warn", "stop", "act"]
Action = Literal["warn", "stop", "act"]
# Symptoms that a run does not recover from by itself: the default of `stop`; and those that `act`
# acts on by default.
FATAL = ("nonfinite", "divergence")
ACTED = (*FATAL, "spikes", "grad_spikes", "overfit", "overfit_onset")


@dataclass(frozen=True, slots=True)
class Policy:
    """What a finding asks of the trainer.

    Mode `warn` only reports, `stop` stops the run on ``stop_on``, `act` lets the trainer act on
    ``act_on`` (it counts up to ``max_actions``) and stops on ``stop_on``, which wins where both
    match. ``stop_on`` and ``act_on`` hold rule codes, prefixes of codes, rule names, or symptoms.
    Findings of severity `info` are only reported.
    """

    mode: Mode = "warn"
    # None: errors of FATAL under `stop`, nothing under `act`
    stop_on: tuple[str, ...] | None = None
    act_on: tuple[str, ...] = ACTED
    max_actions: int = 3

    @property
    def stops(self) -> tuple[str, ...]:
        """The words that stop a run, with the default of the mode filled in."""
        if self.stop_on is None:
            return FATAL if self.mode == "stop" else ()
        return self.stop_on

    @classmethod
    def parse(cls, given: Policy | str | Mapping[str, object]) -> Policy:
        """Return the Policy of a mode or a mapping; AdvisorError for unknown keys or values."""
        if isinstance(given, Policy):
            return given
        if isinstance(given, str):
            return cls(_parse_mode(given))
        if not isinstance(given, Mapping):
            raise AdvisorError(f"policy: {given!r} is neither one of {_MODES} nor a mapping")
        known = [field.name for field in fields(cls)]
        values = {str(key).replace("-", "_"): value for key, value in given.items()}
        for key in values:
            if key not in known:
                raise AdvisorError(f"policy: unknown key '{key}'{_hint_at(key, known)}")
        base = cls()
        most = values.get("max_actions", base.max_actions)
        if not isinstance(most, int) or isinstance(most, bool) or most < 0:
            raise AdvisorError(f"policy: max_actions is {most!r}, expected a number of 0 or more")
        return cls(
            _parse_mode(values.get("mode", base.mode)),
            None if values.get("stop_on") is None else _parse_words("stop_on", values["stop_on"]),
            _parse_words("act_on", values.get("act_on", base.act_on)),
            most,
        )

    def check(self, rulebook: Rulebook) -> None:
        """Raise AdvisorError for words that match no rule of this rulebook."""
        for key, words in (("stop_on", self.stops), ("act_on", self.act_on)):
            for word in words:
                if word in SYMPTOMS or any(rule.answers_to(word) for rule in rulebook):
                    continue
                known = [*SYMPTOMS, *(r.code for r in rulebook), *(r.name for r in rulebook)]
                raise AdvisorError(
                    f"policy: {key} names '{word}', which is not a code, name or symptom"
                    f"{_hint_at(word, known)}"
                )

    def choose_action(self, finding: Finding) -> Action:
        """Return what a finding asks of the trainer."""
        if self.mode in ("off", "warn") or finding.severity == "info":
            return "warn"
        is_named = self.stop_on is not None or finding.severity == "error"
        if is_named and _is_named(self.stops, finding):
            return "stop"
        return "act" if self.mode == "act" and _is_named(self.act_on, finding) else "warn"


_MODES = ", ".join(get_args(Mode))


def _parse_mode(word: object) -> Mode:
    if word is False:  # YAML reads a bare `off` as false
        return "off"
    for mode in get_args(Mode):
        if word == mode:
            return mode  # type: ignore[no-any-return]
    hint = _hint_at(str(word), list(get_args(Mode)))
    raise AdvisorError(f"policy: '{word}' is none of {_MODES}{hint}")


def _parse_words(key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(value.replace(",", " ").split())
    if isinstance(value, Sequence) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise AdvisorError(f"policy: {key} is {value!r}, expected a list of codes or symptoms")


def _is_named(words: Sequence[str], finding: Finding) -> bool:
    return any(
        finding.code.startswith(word.upper()) or word.lower() in (finding.name, finding.symptom)
        for word in words
    )


def _hint_at(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, 1, 0.5)
    return f", did you mean '{near[0]}'?" if near else ""
