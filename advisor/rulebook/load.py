"""Load rule files: quickly from the committed index, or in full from YAML.

`rules/index.json` holds all bundled rules without their cases, and a checksum of each file. If a
file differs from its checksum the YAML is read instead, so the index is never stale.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from advisor.base.paths import data_dir
from advisor.errors import RuleError
from advisor.rulebook.calibration import CALIBRATION, add_measured, read_calibration
from advisor.rulebook.ideas import IDEAS
from advisor.rulebook.rule import Rule, Rulebook

__all__ = [
    "Rule",
    "Rulebook",
    "compile_index",
    "find_rules",
    "load_full",
    "load_rules",
    "parse_rules",
    "rule_files",
]

INDEX = "index.json"
_VERSION = 2


class _Index(msgspec.Struct):
    version: int
    files: dict[str, int]
    rules: list[Rule]


def load_rules(paths: Sequence[Path] | None = None, bundled: bool = True) -> Rulebook:
    """Return the bundled rules and those of ``paths`` (files or folders).

    A user's rule replaces the bundled rule with the same code. RuleError holds every fault of every
    file at once.
    """
    rules = {rule.code: rule for rule in _read_bundled()} if bundled else {}
    if paths:
        own = parse_rules(find_rules(paths), frozenset(rules))
        rules.update({rule.code: rule for rule in own})
        _check_all(list(rules.values()))
    return Rulebook(tuple(sorted(rules.values(), key=lambda rule: rule.code)))


def load_full(folder: Path | None = None) -> Rulebook:
    """Return the rules of a folder with their cases, read from YAML."""
    folder = folder or data_dir("rules")
    rules = add_measured(parse_rules(rule_files(folder)), read_calibration(folder))
    return Rulebook(tuple(sorted(rules, key=lambda rule: rule.code)))


def rule_files(folder: Path) -> list[Path]:
    """Return all rule files below a folder, sorted."""
    return sorted(p for p in folder.glob("*/*.yaml") if not p.name.startswith("."))


def parse_rules(files: Iterable[Path], known: frozenset[str] = frozenset()) -> list[Rule]:
    """Read YAML rule files; ``known`` are codes of other rules that `unless` may name."""
    from advisor.rulebook.check import check_together, read_rule  # slow to import: YAML

    faults: list[str] = []
    rules: list[Rule] = []
    for path in files:
        try:
            rules.append(read_rule(path))
        except RuleError as error:
            faults.append(str(error))
    faults += check_together(rules, known, complete=not faults)
    if faults:
        raise RuleError("\n".join(faults))
    return rules


def compile_index(folder: Path | None = None) -> str:
    """Return the text of index.json for the rules of a folder."""
    folder = folder or data_dir("rules")
    rules = [replace(rule, cases=()) for rule in load_full(folder)]
    index = _Index(_VERSION, _checksums(folder), rules)
    return msgspec.json.format(msgspec.json.encode(index), indent=1).decode() + "\n"


def _check_all(rules: Sequence[Rule]) -> None:
    """Refuse circles of `unless` that only arise together with the bundled rules."""
    from advisor.rulebook.check import check_together

    faults = check_together(rules, frozenset())
    if faults:
        raise RuleError("\n".join(faults))


def _read_bundled() -> list[Rule]:
    folder = data_dir("rules")
    try:
        index = msgspec.json.decode((folder / INDEX).read_bytes(), type=_Index)
    except (OSError, msgspec.DecodeError):  # absent or of another version: read the YAML
        return list(load_full(folder))
    if index.version != _VERSION or index.files != _checksums(folder):
        return list(load_full(folder))
    return index.rules


def _checksums(folder: Path) -> dict[str, int]:
    # Contents, not times: a checkout or an unpacked wheel sets new times.
    sums: dict[str, int] = {}
    for path in [*rule_files(folder), *folder.glob(CALIBRATION), *folder.glob(IDEAS)]:
        text = path.read_bytes().replace(b"\r\n", b"\n")
        sums[path.relative_to(folder).as_posix()] = zlib.crc32(text)
    return sums


def find_rules(paths: Sequence[Path]) -> list[Path]:
    """Return the rule files that paths (files or folders) name; RuleError if there are none."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = rule_files(path) or sorted(path.glob("*.yaml"))
            if not inside:
                raise RuleError(f"{path}: no rule files (*.yaml) in this folder")
            files += inside
        elif path.is_file():
            files.append(path)
        else:
            what = "not a regular file" if path.exists() else "no such file"
            raise RuleError(f"{path}: {what}, give a rule file or a folder of them")
    return files
