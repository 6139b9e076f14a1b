"""A project's settings for every check: [tool.advise] of pyproject.toml, or advise.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path

from advisor.errors import ConfigError

NAMES = ("advise.toml", "pyproject.toml")
_TEXTS = ("select", "ignore", "rules")
_KEYS = (*_TEXTS, "severity", "fail-on", "exit-zero", "baseline", "map", "set", "per-path-ignores")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a project; ``root`` is the folder of the file, from which its paths and patterns
    start."""

    root: Path = field(default_factory=Path)
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    severity: str = "info"
    fail_on: str = "warning"
    exit_zero: bool = False
    rules: tuple[Path, ...] = ()
    baseline: Path | None = None
    map: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    per_path_ignores: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def ignored_at(self, path: Path) -> tuple[str, ...]:
        """Return the codes that per-path-ignores excludes for a run's path."""
        try:
            place = path.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:  # outside the project
            place = path.resolve().as_posix()
        return tuple(
            code
            for pattern, codes in self.per_path_ignores.items()
            if any(fnmatch(part, pattern) for part in _ancestors(place))
            for code in codes
        )


def _ancestors(place: str) -> list[str]:
    """Return a path and the folders above it, so that a pattern may name a folder."""
    parts = place.split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]


def find_settings(start: Path) -> Settings:
    """Return the settings of the nearest folder, from ``start`` upwards, that has any."""
    for folder in (start.resolve(), *start.resolve().parents):
        for name in NAMES:
            path = folder / name
            if path.is_file():
                table = _table(path)
                if table is not None:
                    return read_settings(table, path)
    return Settings(start)


def _table(path: Path) -> Mapping[str, object] | None:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except ValueError as error:  # not TOML, or an integer of thousands of digits
        if path.name == "pyproject.toml":  # a fault outside [tool.advise] is not ours
            return None
        raise ConfigError(f"{path}: not TOML: {error}") from None
    if path.name == "advise.toml":
        return tree
    tool = tree.get("tool")
    ours = tool.get("advise") if isinstance(tool, dict) else None
    return ours if isinstance(ours, dict) else None


def read_settings(table: Mapping[str, object], path: Path) -> Settings:
    """Return the settings of a table; ConfigError names the first fault."""
    for key in table:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, 1, 0.5)
            hint = f", did you mean '{near[0]}'?" if near else f"; known are {', '.join(_KEYS)}"
            raise ConfigError(f"{path}: unknown setting '{key}'{hint}")
    texts = {key: _texts(table.get(key, []), key, path) for key in _TEXTS}
    root = path.parent
    baseline = _text(table, "baseline", "", path)
    exit_zero = table.get("exit-zero", False)
    if not isinstance(exit_zero, bool):
        raise ConfigError(f"{path}: 'exit-zero' is {exit_zero!r}, expected true or false")
    return Settings(
        root=root,
        select=texts["select"],
        ignore=texts["ignore"],
        severity=_text(table, "severity", "info", path),
        fail_on=_text(table, "fail-on", "warning", path),
        exit_zero=exit_zero,
        rules=tuple(root / rule for rule in texts["rules"]),
        baseline=root / baseline if baseline else None,
        map={k: str(v) for k, v in _section(table, "map", path).items()},
        facts=_section(table, "set", path),
        per_path_ignores={
            pattern: _texts(codes, f"per-path-ignores.{pattern}", path)
            for pattern, codes in _section(table, "per-path-ignores", path).items()
        },
    )


def _text(table: Mapping[str, object], key: str, default: str, path: Path) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise ConfigError(f"{path}: '{key}' is {value!r}, expected text")
    return value


def _texts(value: object, key: str, path: Path) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return tuple(str(item) for item in value)
    raise ConfigError(f"{path}: '{key}' is {value!r}, expected a list of texts")


def _section(table: Mapping[str, object], key: str, path: Path) -> Mapping[str, object]:
    """Return a sub-table with dotted keys joined: {train: {loss: x}} as {train/loss: x}."""
    value = table.get(key, {})
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}: '{key}' is {value!r}, expected a table")
    if key == "set":
        return _join_dots(value)
    return value


def _join_dots(tree: Mapping[str, object], start: str = "") -> dict[str, object]:
    """Join the keys that TOML splits at dots: ``data.samples = 5000`` arrives as two levels."""
    out: dict[str, object] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            out.update(_join_dots(value, f"{start}{key}."))
        else:
            out[start + key] = value
    return out
