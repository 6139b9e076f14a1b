"""Load a checked config from a file and a command line, and save it as YAML that says the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from advisor.base.paths import data_dir
from train.config.dataset import OPT_IN
from train.config.fields import Context
from train.config.nodes import Section, to_yaml, values_as_written
from train.config.overrides import apply_overrides, split_overrides
from train.config.reading import read_file
from train.config.schema import to_config
from train.config.types import TrainConfig
from train.errors import TrainConfigError

_PRESETS = ("sft-", "lora-", "qlora-", "scenario-", "experiment-")  # beside tables of ours
_YES = ("1", "true", "yes", "on")


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A checked config, its tree (``${VAR}`` as written), and notices for the user."""

    config: TrainConfig
    tree: dict[str, object]
    notices: tuple[str, ...]
    text: str = ""  # the tree as YAML, overrides included


def load_config(path: Path, overrides: Sequence[str], env: Mapping[str, str]) -> Loaded:
    """Read, override, expand, cast and check a config; one ConfigError line where it is wrong."""
    root = read_file(find_config(path))
    apply_overrides(root, list(split_overrides(overrides)))
    return check_tree(root, env)


def check_tree(root: Section, env: Mapping[str, str]) -> Loaded:
    """Return the checked config of a tree."""
    context = Context(env, [])
    config = to_config(root, context, env.get(OPT_IN, "").strip().lower() in _YES)
    tree = values_as_written(root)
    assert isinstance(tree, dict)  # the root is a section
    return Loaded(config, tree, tuple(context.notices), to_yaml(root))


def save_config(loaded: Loaded, path: Path) -> None:
    """Write the config that a run was started with: it loads again to the same TrainConfig.

    Credentials written out in it are hidden; those given as ``${VAR}`` stay as they are.
    """
    path.write_text(loaded.text, encoding="utf-8")


def find_config(path: Path) -> Path:
    """Return the config's file; a bare word may name one of the presets."""
    if path.exists() or path.parent != Path():
        return path
    preset = data_dir("presets") / path.name
    named = preset if preset.suffix else preset.with_suffix(".yaml")
    if named.is_file():
        return named
    if path.suffix not in (".yaml", ".yml"):
        raise TrainConfigError(f"{path}: no such file or preset; presets: {', '.join(presets())}")
    return path


def presets() -> list[str]:
    """Return the names of the presets."""
    names = sorted(path.stem for path in data_dir("presets").glob("*.yaml"))
    return [name for name in names if name.startswith(_PRESETS)]
