"""Turn a rule file into a Rule, or into a list of all its faults as `file:line: CODE: what`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from advisor.base.atomic import read_regular
from advisor.base.strict_yaml import Fault, YamlDocument, parse_yaml
from advisor.dialects.keys import CANONICAL_KEYS, SECTIONS
from advisor.errors import RuleError
from advisor.rulebook.causes import CAUSES
from advisor.rulebook.condition import Condition, exchange, join, parse
from advisor.rulebook.fields import CASE, EDIT, EDIT_OPERAND, LIVE, RULE, TEXT_LIMITS, Shape
from advisor.rulebook.ideas import expand, load_ideas
from advisor.rulebook.rule import (
    OBJECTIVES,
    PLACEHOLDER,
    POINTS,
    QUOTE,
    Case,
    Cause,
    Rule,
    RuleEdit,
)
from advisor.rulebook.symptoms import SYMPTOMS

_CODE = re.compile(r"[A-Z]{2,4}[0-9]{3}")
# Objectives of a rule, and the clause that tests a run for each.
ASKED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("supervised",): ("not run.is_rl",),
    ("supervised", "preference"): ("not run.is_policy",),
    ("supervised", "policy"): ("not run.is_preference",),
    ("preference",): ("run.is_preference",),
    ("policy",): ("run.is_policy",),
    ("preference", "policy"): ("run.is_rl",),
}
_NAME_IN = re.compile(r"[A-Za-z_][\w.]*")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def read_rule(path: Path) -> Rule:
    """Read one rule file; RuleError holds all its faults, a line each."""
    try:
        text = read_regular(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RuleError(f"{path}:1: cannot be read as UTF-8 text: {error}") from None
    return _Reader(path, parse_yaml(text)).rule()


def check_together(
    rules: Sequence[Rule], known: frozenset[str], complete: bool = True
) -> list[str]:
    """Return the faults that only show between rules: repeated, unknown and circular codes."""
    faults: list[str] = []
    by_code: dict[str, Rule] = {}
    for rule in rules:
        if rule.code in by_code:
            other = by_code[rule.code].path
            faults.append(f"{rule.path}:1: {rule.code}: the code is taken by {other}")
        by_code[rule.code] = rule
    if not complete:
        return faults
    for rule in rules:
        for code in (*rule.unless, *rule.related):
            if code not in by_code and code not in known:
                near = _nearest(code, by_code.keys() | known)
                faults.append(f"{rule.path}:1: {rule.code}: names the unknown rule {code}{near}")
        if _explains_itself(rule.code, by_code):
            faults.append(
                f"{rule.path}:1: {rule.code}: 'unless' leads back to itself, so that both rules "
                "would vanish"
            )
    return faults


def _explains_itself(code: str, rules: Mapping[str, Rule]) -> bool:
    todo, seen = list(rules[code].unless), set[str]()
    while todo:
        other = todo.pop()
        if other == code:
            return True
        if other not in seen and other in rules:
            seen.add(other)
            todo += rules[other].unless
    return False


def _nearest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, sorted(known), 1, 0.5)
    return f", nearest is {near[0]}" if near else ""


def _as_names(given: object) -> tuple[str, ...]:
    if given is True:
        return ("",)
    return (given,) if isinstance(given, str) else tuple(given)  # type: ignore[arg-type]


def _find_clashes(case: Case, values: Mapping[str, Any]) -> list[str]:
    """Return the claims of a case that the rest of its rule contradicts."""
    limits, unless = values.get("limits", {}), values.get("unless", ())
    faults = [f"'{n}' is none of the limits" for n in case.near if n and n not in limits]
    if case.explained_by and case.explained_by not in unless:
        faults.append(f"'unless' does not name {case.explained_by}")
    if case.explained_by and case.expect != "silent":
        faults.append("a case that another rule explains is silent")
    return faults


def _objective(values: Mapping[str, Any]) -> tuple[str, ...]:
    given = values.get("objective", OBJECTIVES)
    return tuple(name for name in OBJECTIVES if name in given)


def _full_condition(text: str, values: Mapping[str, Any]) -> str:
    """Return the full condition: ideas replaced, the objective and the needed points added."""
    parts = [*ASKED.get(values["objective"], ()), expand(text)]
    parts += [f"{POINTS[name]} >= {count}" for name, count in values.get("needs", {}).items()]
    return join(parts)


class _Reader:
    """The state of reading one file: the document, and the faults so far."""

    def __init__(self, path: Path, document: YamlDocument) -> None:
        self.path = path
        self.document = document
        data = document.data
        self.data: dict[str, Any] = data if isinstance(data, dict) else {}
        self.code = str(self.data.get("code", path.stem.split("-")[0]))
        self.faults: list[Fault] = list(document.faults)

    def fault(self, place: Sequence[str | int], what: str) -> None:
        self.faults.append(Fault(self.document.line(place), what))

    def rule(self) -> Rule:
        values: dict[str, Any] = {}
        if not isinstance(self.document.data, dict):
            if not self.faults:
                self.fault((), "a rule file is a mapping of fields (code, name, symptom, ...)")
        else:
            values = self.take(self.data, RULE, ())
            values["objective"] = _objective(values)
            self.check_names(values)
            self.check_texts(values)
            self.check_when(values)
            self.check_live(values)
            causes, edits, cases = self.causes(values), self.edits(values), self.cases(values)
        if self.faults:
            faults = sorted(set(self.faults), key=lambda fault: (fault.line, fault.what))
            raise RuleError(
                "\n".join(f"{self.path}:{f.line}: {self.code}: {f.what}" for f in faults)
            )
        known = {field.name for field in fields(Rule)}
        values |= {
            "section": self.path.parent.name,
            "path": f"{self.path.parent.name}/{self.path.name}",
            "causes": causes,
            "edits": edits,
            "cases": cases,
        }
        return Rule(**{key: value for key, value in values.items() if key in known})

    def take(
        self, data: Mapping[str, Any], shape: Shape, place: tuple[str | int, ...]
    ) -> dict[str, Any]:
        """Return the well-formed fields of a mapping; report the others."""
        values: dict[str, Any] = {}
        for key, value in data.items():
            if key not in shape:
                near = _nearest(key, shape)
                self.fault((*place, key), f"unknown field '{key}'{near}")
                continue
            kind = shape[key]
            if not kind.fits(value):
                self.fault((*place, key), f"'{key}' is {value!r}, expected {kind.what}")
                continue
            values[key] = tuple(value) if isinstance(value, list) else value
        for key, kind in shape.items():
            if kind.required and key not in data:
                self.fault(place, f"'{key}' is missing")
        return values

    def check_names(self, values: Mapping[str, Any]) -> None:
        code, name = values.get("code", ""), values.get("name", "")
        if code and not _CODE.fullmatch(code):
            self.fault(("code",), f"code '{code}' is not two to four letters and three digits")
        if name and not _NAME.fullmatch(name):
            self.fault(("name",), f"name '{name}' is not lower-case words joined by '-'")
        if code and name and self.path.stem != f"{code}-{name}":
            self.fault(("code",), f"the file must be called {code}-{name}.yaml")
        symptom = values.get("symptom")
        if symptom is not None and symptom not in SYMPTOMS:
            near = _nearest(symptom, SYMPTOMS)
            self.fault(("symptom",), f"unknown symptom '{symptom}'{near}")

    def check_texts(self, values: Mapping[str, Any]) -> None:
        for key, longest in TEXT_LIMITS.items():
            text = values.get(key, "")
            if len(text) > longest:
                self.fault((key,), f"'{key}' has {len(text)} characters, at most {longest}")
        limits = values.get("limits", {})
        self.check_placeholders(values.get("message", ""), limits, ("message",))

    def check_placeholders(
        self, text: str, limits: Mapping[str, float], place: Sequence[str | int]
    ) -> None:
        for name, form in PLACEHOLDER.findall(text):
            self.check_name(name, limits, place)
            if form == QUOTE and place == ("message",):
                continue
            try:
                format(1.0, form)
            except ValueError:
                self.fault(place, f"'{form}' is not a number format")
        if re.search(r"[{}]", PLACEHOLDER.sub("", text)):
            self.fault(place, "braces hold a signal and a format: {loss.end:.3f}")

    def check_when(self, values: dict[str, Any]) -> None:
        limits = values.get("limits", {})
        if "when" not in values:
            if not values.get("waits_for") and "when" not in self.data:
                self.fault((), "'when' is missing")
            if limits:
                self.fault(("limits",), "limits without a 'when'")
            if values.get("unheld"):
                self.fault(("unheld",), "'unheld' without a 'when'")
            return
        values["checklist"] = text = self.join_clauses(values["when"], ("when",))
        condition = self.condition(text, limits, ("when",)) if text else None
        if condition is None:
            values["when"] = ""
            return
        values["when"] = _full_condition(text, values)
        parts = (*values.get("edits", ()), *values.get("causes", ()))
        used = " ".join(str(part.get("when", "")) for part in parts if isinstance(part, dict))
        used += str(self.data.get("live", {}))
        for limit in limits:
            if limit not in condition.names and not re.search(rf"\b{re.escape(limit)}\b", used):
                self.fault(("limits", limit), f"the limit '{limit}' is not used in 'when'")

    def join_clauses(self, clauses: Sequence[object], place: Sequence[str | int]) -> str:
        try:
            return join(clauses)
        except RuleError as error:
            self.fault(place, str(error))
            return ""

    def check_live(self, values: dict[str, Any]) -> None:
        """Turn `live` into the share from which a running training is judged, and its condition."""
        if "live" not in values:
            return
        live = self.take(values["live"], LIVE, ("live",))
        values["live"], other = live.get("from", 0.0), live.get("with", {})
        limits = values.get("limits", {})
        extra = self.join_clauses(live.get("and", ()), ("live", "and"))
        if extra:
            self.condition(extra, limits, ("live", "and"))
        written = values.get("checklist", "")
        names = _NAME_IN.findall(written)
        for name, new in other.items():
            if name not in names:
                self.fault(("live", "with", name), f"'{name}' does not stand in 'when'")
            if isinstance(new, str):
                self.check_name(new, limits, ("live", "with", name))
        if written and (other or extra) and not self.faults:
            text = exchange(written, other)
            values["live_checklist"] = f"{text} and {extra}" if extra else text
            values["live_when"] = _full_condition(values["live_checklist"], values)

    def condition(
        self, text: str, limits: Mapping[str, float], place: Sequence[str | int]
    ) -> Condition | None:
        try:
            condition = parse(text)
        except RuleError as error:
            self.fault(place, str(error))
            return None
        for name in condition.names:
            self.check_name(name, limits, place)
        for number in condition.numbers:
            if number not in (0, 1, 2, 3):
                self.fault(place, f"the number {number:g} needs a name under 'limits'")
        return condition

    def check_name(
        self, name: str, limits: Mapping[str, float], place: Sequence[str | int]
    ) -> None:
        from advisor.signals import SIGNALS

        if name in limits or name in SIGNALS or name in load_ideas():
            return
        if name.startswith("config.") and name.removeprefix("config.") in CANONICAL_KEYS:
            return
        keys = {f"config.{key}" for key in CANONICAL_KEYS}
        near = _nearest(name, {*limits, *SIGNALS, *keys, *load_ideas()})
        self.fault(place, f"unknown signal or limit '{name}'{near}")

    def causes(self, values: Mapping[str, Any]) -> tuple[Cause, ...]:
        result = []
        for i, item in enumerate(values.get("causes", ())):
            when, place = item.get("when", ""), ("causes", i)
            (name, share) = next(pair for pair in item.items() if pair[0] != "when")
            if name not in CAUSES:
                self.fault(place, f"unknown cause '{name}'{_nearest(name, CAUSES)}")
            if when:
                self.condition(when, values.get("limits", {}), (*place, "when"))
            result.append(Cause(name, float(share), when))
        return tuple(result)

    def edits(self, values: Mapping[str, Any]) -> tuple[RuleEdit, ...]:
        result = []
        limits = values.get("limits", {})
        for i, item in enumerate(values.get("edits", ())):
            place: tuple[str | int, ...] = ("edits", i)
            before = len(self.faults)
            edit = self.take(item, EDIT, place)
            operand = EDIT_OPERAND.get(edit.get("op", ""), "")
            self.check_edit(edit, operand, place)
            if "when" in edit:
                self.condition(edit["when"], limits, (*place, "when"))
            value = edit.get(operand)
            if isinstance(value, str):
                self.check_placeholders(value, limits, (*place, operand))
            if len(self.faults) == before:
                result.append(
                    RuleEdit(
                        edit["op"],
                        edit["key"],
                        value,
                        edit.get("min"),
                        edit.get("max"),
                        edit.get("applies", "advice" if edit["op"] == "advice" else "review"),
                        edit.get("when", ""),
                        edit.get("text", ""),
                    )
                )
        return tuple(result)

    def check_edit(
        self, edit: Mapping[str, Any], operand: str, place: tuple[str | int, ...]
    ) -> None:
        op, key = edit.get("op"), edit.get("key", "")
        if op == "advice":
            if not edit.get("text"):
                self.fault(place, "advice needs a 'text'")
            known = key in CANONICAL_KEYS or key in SECTIONS
        else:
            known = key in CANONICAL_KEYS
            if operand and operand not in edit:
                self.fault(place, f"'{op}' needs '{operand}'")
        for other in {"by", "to", "item"} - {operand}:
            if other in edit:
                self.fault((*place, other), f"'{other}' does not belong to '{op}'")
        if key and not known:
            near = _nearest(key, CANONICAL_KEYS | SECTIONS)
            self.fault((*place, "key"), f"unknown config key '{key}'{near}")

    def cases(self, values: Mapping[str, Any]) -> tuple[Case, ...]:
        from advisor.rulebook.cases import check_case  # imported late: it needs the shorthand

        result: list[Case] = []
        for i, item in enumerate(values.get("cases", ())):
            place: tuple[str | int, ...] = ("cases", i)
            before = len(self.faults)
            taken = self.take(item, CASE, place)
            if len(self.faults) > before:
                continue
            case = Case(**taken | {"near": _as_names(taken.get("near", ()))})
            for what in [
                *check_case(case, values.get("guide", ())),
                *_find_clashes(case, values),
            ]:
                self.fault(place, f"case '{case.name}': {what}")
            if case.name in {other.name for other in result}:
                self.fault(place, f"two cases are called '{case.name}'")
            result.append(case)
        return tuple(result)
