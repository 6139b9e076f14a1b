"""Finds and reads the config files around a log, and merges them by trust."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from advisor.dialects import ADAPTER_FORM, ROOTS, dialect_of, generic, sniff
from advisor.dialects import tree as trees
from advisor.dialects.keys import coerce
from advisor.dialects.strangers import stranger
from advisor.errors import ConfigError
from advisor.readers import role_of
from advisor.run import Config

BEFORE = ".before"  # suffix of the copy from before an edit in place
_CHECKPOINT = re.compile(r"(checkpoint|step|epoch|global_step|ckpt)[-_]?\d+.*|model|LATEST")
_INSIDE = re.compile(r"version_\d+|logs?|runs|files|tensorboard|metrics")
_NAMES = re.compile(r"(?i)arg|config|param|train|sft|lora|finetune|recipe|hyp")
_REMARK = re.compile(r"(?m)(^|\s)(#|//)|,\s*[}\]]")
_LIMIT = 40  # config candidates read per folder
_WEIGHTS = re.compile(r"(model|pytorch_model)([-\w]*)\.(safetensors|bin)")
_TELLING = re.compile(  # every config of a known dialect holds one of these
    rb"\b(lr|learning_rate|step_scheduler|lora_\w+|num_train_epochs|per_device_train_batch_size|"
    rb"gradient_accumulation_steps|lr_scheduler_type|warmup_ratio|max_grad_norm|micro_batch_size)\b"
)


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """One file with information about the run."""

    path: Path
    dialect: str
    values: Mapping[str, object]
    record: bool = False  # written by a tracker or a library: never edited
    snapshot: bool = False  # saved with a checkpoint: what the run used
    stranger: str = ""  # the trainer, if it is not one of our dialects


@dataclass(frozen=True, slots=True)
class FoundConfig:
    """The config files found around a log, and notes on those left out."""

    sources: tuple[ConfigSource, ...] = ()
    notes: tuple[str, ...] = ()
    weights: bool = False  # a model's weights are there
    log_time: float | None = None


def look_around(log_path: Path) -> FoundConfig:
    """Return the config files in the folders of a run."""
    sources: dict[Path, ConfigSource] = {}
    notes: list[str] = []
    weights = False
    for folder in _folders(log_path):
        names = _listing(folder)
        weights = weights or any(map(_is_whole_model, names))
        for path in _candidates(names):
            try:
                source = read_source(path)
            except ConfigError as error:
                notes.append(f"config left out: {error}")
                continue
            if source is not None:
                sources.setdefault(path.resolve(), source)
    return FoundConfig(tuple(sources.values()), tuple(notes), weights, _newest(log_path))


def read_source(path: Path) -> ConfigSource | None:
    text = trees.read_text(path)
    tree = _parse(text, path)
    wrapped = _unwrap(tree)
    record = wrapped is not tree or path.name.startswith("hparams")
    tree = wrapped
    if "peft_type" in tree or (path.name == "adapter_config.json" and not stranger(tree)):
        return ConfigSource(path, "", _adapter(tree), record=True)
    dialect = sniff(tree)
    if dialect is None and "architectures" in tree:  # the model's config, beside its weights
        return ConfigSource(path, "", _model(tree), record=True)
    if dialect is None:
        name = stranger(tree)
        known = name or generic.sniff(tree)
        return ConfigSource(path, "", generic.read(tree), True, stranger=name) if known else None
    values = dialect.read(tree)
    if record:
        values.pop("dataset.seq_length", None)  # a tracker logs the model's generation length
    snapshot = bool(_CHECKPOINT.fullmatch(path.parent.name))
    return ConfigSource(path, dialect.NAME, values, record, snapshot)


def _parse(text: str, path: Path) -> dict[str, object]:
    """Return the tree of a config; JSON of other trainers may hold comments, as DeepSpeed
    allows."""
    if path.suffix != ".json":
        return trees.parse(text, path, ROOTS)
    try:
        return trees.parse(text, path)
    except ConfigError:
        if not _REMARK.search(text) or len(text) > trees.MAX_YAML:
            raise
        bare = re.sub(r"(?m)(^|\s)//.*$", "", text).replace("\t", " ")
        try:  # as YAML, which includes JSON with '#' comments and a trailing comma
            tree = trees.parse("#\n" + bare, path.with_suffix(".yaml"))
        except ConfigError:
            tree = {}
        if not stranger(tree):
            raise
        return tree


def _adapter(tree: Mapping[str, object]) -> dict[str, object]:
    peft = dialect_of(ADAPTER_FORM)
    values = peft.read(tree) if peft else {}
    keep = ("peft.", "method", "model.pretrained")
    return {key: value for key, value in values.items() if key.startswith(keep)}


def _model(tree: Mapping[str, object]) -> dict[str, object]:
    """Return what a model's config says about a run. Its data type is only that of the saved
    weights."""
    names = {"model.vocab_size": "vocab_size", "model.transformers_version": "transformers_version"}
    return {key: coerce(key, tree[name]) for key, name in names.items() if tree.get(name)}


def _unwrap(tree: dict[str, object]) -> dict[str, object]:
    """Return a tracker's {key: {desc, value}} as {key: value}, any other tree itself."""
    wraps = [v for v in tree.values() if isinstance(v, dict) and set(v) <= {"desc", "value"} and v]
    if not wraps or len(wraps) < len([v for v in tree.values() if isinstance(v, dict)]):
        return tree
    flat: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat[name] = value.get("value")
    return flat


def candidates(sources: Iterable[ConfigSource]) -> list[ConfigSource]:
    """Return the files that edits could go to, the most likely first."""
    return sorted((s for s in sources if s.dialect and not s.record), key=_preference)


def merge_sources(
    sources: Iterable[ConfigSource], chosen: ConfigSource | None, log_time: float | None = None
) -> Config:
    """Merge by trust: snapshots of a checkpoint first, then the file to edit, then records."""
    sources = list(sources)
    order = [s for s in sources if s.snapshot and (chosen is None or s.dialect == chosen.dialect)]
    order += [chosen] if chosen else []
    order += [s for s in sources if s.record]
    values: dict[str, object] = {}
    origin: dict[str, str] = {}
    for source in order:
        said = values_trained_with(source, log_time) if source is chosen else source.values
        for key, value in said.items():
            weak = key == "method" and value == "full"
            if key not in values or (weak is False and values[key] == "full" and key == "method"):
                values[key], origin[key] = value, source.path.name
    if values.get("quantization.load_in_4bit") and values.get("method") == "lora":
        values["method"] = "qlora"
    dialect = chosen.dialect if chosen else next((s.dialect for s in sources if s.dialect), "")
    adapted = any(s.path.name == "adapter_config.json" for s in sources)
    if not dialect and adapted and not any(s.stranger for s in sources):
        dialect = ADAPTER_FORM  # other trainers, like torchtune, also save adapters in this form
    return Config(values, origin, dialect, str(chosen.path) if chosen else None)


def values_trained_with(source: ConfigSource, log_time: float | None) -> Mapping[str, object]:
    """Return the values of a file when the run was trained, before any later edit in place."""
    before = source.path.with_name(source.path.name + BEFORE)
    try:
        edited = source.path.stat().st_mtime
        if log_time is None or edited <= log_time or not before.is_file():
            return source.values
        dialect = dialect_of(source.dialect)
        tree = trees.parse(trees.read_text(before), source.path)
        return dialect.read(tree) if dialect else source.values
    except (OSError, ConfigError):
        return source.values


def _preference(source: ConfigSource) -> tuple[int, int, int, str]:
    name = source.path.name.lower()
    named = 0 if name.startswith("config.") else 1 if re.search("train|sft|arg|lora", name) else 2
    later = int(is_next(source.path)) + int(source.snapshot)
    return (later, named, -len(source.values), str(source.path))


def is_next(path: Path) -> bool:
    """Return whether we wrote this file as the config of a next run."""
    return ".next." in path.name.lower()


def _folders(log_path: Path) -> Iterator[Path]:
    """Yield the folders of a run: its newest checkpoint, its own folder, and those around it."""
    start = log_path if log_path.is_dir() else log_path.parent
    yield start
    below = [path for path in _listing(start) if _CHECKPOINT.fullmatch(path.name) and path.is_dir()]
    for folder in sorted(below, key=_number)[-1:]:
        yield folder
        if (folder / "model").is_dir():
            yield folder / "model"
    here = start.resolve()
    for _ in range(4):
        inside = _CHECKPOINT.fullmatch(here.name) or _INSIDE.fullmatch(here.name)
        if not inside and here.parent.name != "runs":  # TensorBoard's runs/<date>_<host>
            return
        here = here.parent
        yield here


def _number(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.name))


def _is_whole_model(path: Path) -> bool:
    """Return whether a file is (or describes) a whole saved model, not an adapter."""
    if path.name != "config.json":
        return bool(_WEIGHTS.fullmatch(path.name))
    try:
        with path.open("rb") as file:
            return b'"architectures"' in file.read(4096)
    except OSError:
        return False


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(path for _, path in zip(range(2000), folder.iterdir(), strict=False))
    except OSError:
        return []


def _candidates(names: Iterable[Path]) -> Iterator[Path]:
    chosen = [path for path in names if _is_candidate(path)]
    yield from sorted(chosen, key=lambda path: (not _NAMES.search(path.name), path.name))[:_LIMIT]


def _is_candidate(path: Path) -> bool:
    if path.suffix in (".yaml", ".yml"):
        wanted = "environment" not in path.name and not path.name.startswith(".")
    else:
        skipped = ("generation_config.json", "tokenizer_config.json", "preprocessor_config.json")
        wanted = path.suffix == ".json" and bool(re.search("(?i)arg|config|param", path.name))
        wanted = wanted and path.name not in skipped
    if not wanted or not path.is_file():
        return False
    if path.suffix == ".json":
        return True
    return _speaks(path)


def _speaks(path: Path) -> bool:
    """Return whether the bytes of a YAML file could be a training config; parsing all files is
    slow."""
    try:
        with path.open("rb") as file:
            head = file.read(trees.MAX_YAML)
    except OSError:
        return False
    return bool(_TELLING.search(head))


def _newest(log_path: Path) -> float | None:
    """Return the time of the log's last write, in seconds since the epoch."""
    paths = [log_path] if log_path.is_file() else _listing(log_path)
    if log_path.is_dir():
        paths = [path for path in paths if role_of(path.name.lower())]
    times = []
    for path in paths:
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)
