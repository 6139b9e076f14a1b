"""The sections ``wandb``, ``mlflow`` and ``tensorboard``: options that go to a tracker."""

from __future__ import annotations

from collections.abc import Mapping

from train.config.fields import Context, as_section, convert
from train.config.nearest import unknown_key
from train.config.nodes import ConfigScalar, Items, Node, Section, expand_scalar, plain
from train.config.types import TrackingConfig
from train.errors import TrainConfigError

REQUIRED = "required"  # of every tracker: true ends the run where it cannot be started
_OPTIONS = {
    "wandb": (
        "project", "entity", "name", "group", "dir", "save_dir", "job_type", "tags", "notes",
        "mode", "id", "resume", "settings", "anonymous", "save_code", "reinit", "force",
        "allow_val_change", "config_exclude_keys", "config_include_keys", "sync_tensorboard",
    ),
    "mlflow": (
        "experiment_name", "run_name", "tracking_uri", "tags", "description", "run_id", "nested",
        "log_system_metrics", "parent_run_id",
    ),
    "tensorboard": ("log_dir", "flush_secs", "max_queue", "comment", "filename_suffix"),
}  # fmt: skip
# These are texts whatever they look like: a run named 1e-5 is not a number.
_TEXTS = frozenset(
    ["project", "entity", "name", "group", "dir", "save_dir", "job_type", "notes", "id", "mode",
     "experiment_name", "run_name", "tracking_uri", "description", "run_id", "log_dir", "comment",
     "filename_suffix"]
)  # fmt: skip


def tracking(root: Section, context: Context) -> TrackingConfig:
    """Return the trackers that are on."""
    return TrackingConfig(**{name: _options(root, name, context) for name in _OPTIONS})


def _options(root: Section, name: str, context: Context) -> Mapping[str, object] | None:
    node = root.get(name)
    if node is None:
        return None
    if isinstance(node, ConfigScalar):  # `tensorboard: true`
        return {} if convert(node, bool, name, context.env) else None
    section = as_section(node, name)
    options: dict[str, object] = {}
    for key, inner in section:
        if key in ("enabled", "enable"):
            if convert(inner, bool, f"{name}.{key}", context.env) is False:
                return None
        elif key == REQUIRED:
            options[key] = convert(inner, bool, f"{name}.{key}", context.env)
        elif key not in _OPTIONS[name]:
            raise unknown_key(inner.place, name, key)
        elif section.get(key) is not None:
            options[key] = _option(key, inner, context)
    saved = options.pop("save_dir", None)  # the guide's name for what wandb calls dir
    if saved is not None and options.setdefault("dir", saved) != saved:
        place = section.entries["save_dir"].place
        raise TrainConfigError(f"{place}: {name}.dir and {name}.save_dir differ; keep one of them")
    return options


def _option(key: str, node: Node, context: Context) -> object:
    if key == "tags":
        return _tags(node, context)
    if key in _TEXTS and isinstance(node, ConfigScalar):
        return convert(node, str, key, context.env)
    return plain(node, context.env)


def _tags(node: Node, context: Context) -> object:
    """Return tags as texts, as they were written: learning_rate "1e-5" stays "1e-5"."""
    if isinstance(node, Section):
        return {key: _tags(inner, context) for key, inner in node}
    if isinstance(node, Items):
        return [_tags(item, context) for item in node.items]
    return expand_scalar(node, context.env)
