"""What a run was trained with: the config files beside a log, and facts that a user states."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from advisor.dialects import DIALECTS, ROOTS, dialect_of, generic, sniff
from advisor.dialects import tree as trees
from advisor.dialects.keys import KINDS, coerce
from advisor.errors import ConfigError
from advisor.run import Config, Run

BEFORE = ".before"  # added to a file's name: what it held before an edit in place
_CHECKPOINT = re.compile(r"(checkpoint|step|epoch|global_step|ckpt)[-_]?\d+.*|model|LATEST")
_INSIDE = re.compile(r"version_\d+|lightning_logs|logs?|runs|files|wandb|tensorboard|metrics")
_NAMES = re.compile(r"(?i)arg|config|param|train|sft|lora|finetune|recipe|hyp")
_LIMIT = 40  # config candidates looked at in one folder
_WEIGHTS = re.compile(r"(model|pytorch_model)([-\w]*)\.(safetensors|bin)")


@dataclass(frozen=True, slots=True)
class Source:
    """One file that says something about the run."""

    path: Path
    dialect: str
    values: Mapping[str, object]
    record: bool = False  # written by a tracker or a library: never the file to edit
    snapshot: bool = False  # saved with a checkpoint: what the run really used


def load_config(path: Path) -> Config:
    """Return what one file says; raises ConfigError where it is no training config."""
    source = _load(path)
    if source is None:
        known = " or ".join(dialect.NAME for dialect in DIALECTS)
        raise ConfigError(f"{path}: no training config that we know ({known}); give another file")
    return _merge([source])


def find_config(log_path: Path) -> Config:
    """Return what the files around a log say; an empty Config where there are none."""
    return search(log_path)[0]


def search(log_path: Path) -> tuple[Config, tuple[str, ...]]:
    """Return what the files around a log say, and notes on what was chosen or left out."""
    sources: list[Source] = []
    notes: list[str] = []
    weights = False
    for folder in _folders(log_path):
        names = _listing(folder)
        weights = weights or any(_WEIGHTS.fullmatch(path.name) for path in names)
        for path in _candidates(names):
            try:
                source = _load(path)
            except ConfigError as error:
                notes.append(f"config left out: {error}")
                continue
            if source is not None and source.path not in [other.path for other in sources]:
                sources.append(source)
    editable = [source for source in sources if _is_editable(source)]
    if len(editable) > 1:
        chosen = min(editable, key=_preference)
        names_left = ", ".join(s.path.name for s in editable if s is not chosen)
        notes.append(f"config: {chosen.path.name} chosen, besides {names_left}")
    config = _merge(sources, _newest(log_path))
    if sources and weights and "method" not in config.values:
        config = _with(config, {"method": "full"}, "weights without an adapter")
    return config, tuple(notes)


def attach_config(
    run: Run,
    directory: Path,
    facts: Mapping[str, object] | None = None,
    config_path: Path | None = None,
) -> Run:
    """Return the run with its Config: files around the log, the log itself, then ``facts``.

    ``config_path`` names the file that edits go to; where a snapshot beside the log says what
    the run was trained with, the snapshot's values stand.
    """
    found, notes = search(directory)
    if config_path is not None:
        given = load_config(config_path)
        trained = {key: o for key, o in found.origin.items() if found.values.get("_snapshot")}
        values = {**found.values, **given.values} if not trained else {**given.values, **found.values}
        origin = {**found.origin, **given.origin} if not trained else {**given.origin, **found.origin}
        found = Config(values, origin, given.dialect or found.dialect, given.path)
        notes = ()
    values = {key: value for key, value in found.values.items() if key != "_snapshot"}
    config = dataclasses.replace(found, values=values)
    config = with_log(config, run)
    if facts:
        config = with_facts(config, facts)
    return dataclasses.replace(run, config=config, notes=(*run.notes, *notes))


def with_facts(config: Config, facts: Mapping[str, object]) -> Config:
    """Return the Config with what a user states (``--set key=value``), under any known name."""
    values = {}
    for name, raw in facts.items():
        key = _canonical(name, config.dialect)
        value = coerce(key, trees.cast(raw) if isinstance(raw, str) else raw)
        _check(name, key, value)
        values[key] = value
    return _with(config, values, "--set")


def with_log(config: Config, run: Run) -> Config:
    """Return the Config with what the log itself states, where no file does."""
    facts, found = run.facts, {}
    epochs = facts.get("num_train_epochs")
    if isinstance(epochs, (int, float)) and float(epochs).is_integer() and epochs > 0:
        found["step_scheduler.num_epochs"] = int(epochs)
    size = facts.get("train_batch_size")
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        found["step_scheduler.local_batch_size"] = size
    peak = peak_lr(run)
    if peak is not None:
        found["optimizer.lr"] = peak
    found = {key: value for key, value in found.items() if key not in config.values}
    config = _with(config, found, "log")
    samples = _samples(config, run)
    if samples is not None and "data.samples" not in config.values:
        config = _with(config, {"data.samples": samples}, "log")
    return config


def peak_lr(run: Run) -> float | None:
    """Return the highest logged learning rate, None while the warmup has not ended."""
    series = run.series.get("train/lr")
    if series is None or not len(series):
        return None
    values = [float(v) for v in series.values if v == v and 0 < v < float("inf")]
    if not values:
        return None
    peak = max(values)
    rising = len(values) > 1 and values[-1] == peak and values[-2] < peak
    return None if rising else float(f"{peak:.3g}")


def _samples(config: Config, run: Run) -> int | None:
    limit = config.values.get("dataset.limit_dataset_samples")
    if isinstance(limit, int) and limit > 0:
        return limit
    steps, batch = run.facts.get("steps_per_epoch"), config.values.get(
        "step_scheduler.global_batch_size"
    )
    if isinstance(steps, (int, float)) and isinstance(batch, int) and steps * batch >= 1:
        return int(steps * batch)
    return None


def _canonical(name: str, dialect: str) -> str:
    if name in KINDS:
        return name
    first = dialect_of(dialect)
    for each in [first, *DIALECTS] if first else DIALECTS:
        for key, names in each.KEYS.items():
            if name in names and not key.endswith("global_batch_size"):
                return key
    known = [*KINDS, *(n for each in DIALECTS for names in each.KEYS.values() for n in names)]
    near = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f", did you mean '{near[0]}'?" if near else "; `advise rules` lists what is known"
    raise ConfigError(f"--set {name}: unknown key{hint}")


def _check(name: str, key: str, value: object) -> None:
    kind = KINDS[key]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = {
        "float": number,
        "int": number and float(str(value)).is_integer(),
        "bool": isinstance(value, bool),
        "list": isinstance(value, list),
        "str": isinstance(value, str) or value in (False, None),
    }[kind]
    if key == "method" and value not in ("full", "lora", "dora", "qlora"):
        raise ConfigError(f"--set {name}={value}: method is full, lora, dora or qlora")
    if not good:
        wanted = {"float": "a number", "int": "a whole number", "bool": "true or false"}
        raise ConfigError(f"--set {name}={value}: expected {wanted.get(kind, kind)}")


def _with(config: Config, values: Mapping[str, object], origin: str) -> Config:
    origins = {**config.origin, **dict.fromkeys(values, origin)}
    return dataclasses.replace(config, values={**config.values, **values}, origin=origins)


def _load(path: Path) -> Source | None:
    text = trees.read_text(path)
    tree = trees.parse(text, path, ROOTS if path.suffix != ".json" else None)
    wrapped = _unwrap(tree)
    record = wrapped is not tree or path.name.startswith("hparams")
    tree = wrapped
    if path.name == "adapter_config.json" or "peft_type" in tree:
        return Source(path, "", _adapter(tree), record=True)
    dialect = sniff(tree)
    if dialect is None:
        return Source(path, "", generic.read(tree), record=True) if generic.sniff(tree) else None
    values = dialect.read(tree)
    if record:
        values.pop("dataset.seq_length", None)  # a tracker logs the model's generation length
    snapshot = bool(_CHECKPOINT.fullmatch(path.parent.name))
    return Source(path, dialect.NAME, values, record, snapshot)


def _adapter(tree: Mapping[str, object]) -> dict[str, object]:
    transformers = dialect_of("transformers")
    values = transformers.read(tree) if transformers else {}
    keep = ("peft.", "method", "model.pretrained")
    return {key: value for key, value in values.items() if key.startswith(keep)}


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


def _merge(sources: list[Source], log_time: float | None = None) -> Config:
    """Merge by trust: snapshots, then the file to edit, other configs, then records."""
    editable = sorted((s for s in sources if _is_editable(s)), key=_preference)
    chosen = editable[0] if editable else None
    order = [s for s in sources if s.snapshot and (chosen is None or s.dialect == chosen.dialect)]
    order += [chosen] if chosen else []
    order += [s for s in sources if s.record]
    values: dict[str, object] = {}
    origin: dict[str, str] = {}
    for source in order:
        said = _trained(source, log_time) if source is chosen else source.values
        for key, value in said.items():
            weak = key == "method" and value == "full"
            if key not in values or (weak is False and values[key] == "full" and key == "method"):
                values[key], origin[key] = value, source.path.name
    if values.get("quantization.load_in_4bit") and values.get("method") == "lora":
        values["method"] = "qlora"
    if any(s.snapshot for s in order):
        values["_snapshot"] = True
    dialect = chosen.dialect if chosen else next((s.dialect for s in sources if s.dialect), "")
    if not dialect and any(s.path.name == "adapter_config.json" for s in sources):
        dialect = "transformers"
    return Config(values, origin, dialect, str(chosen.path) if chosen else None)


def _trained(source: Source, log_time: float | None) -> Mapping[str, object]:
    """Return what the file held when the run was trained: an edit in place came after it."""
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


def _is_editable(source: Source) -> bool:
    return bool(source.dialect) and not source.record


def _preference(source: Source) -> tuple[int, int, int, str]:
    name = source.path.name.lower()
    named = 0 if name.startswith("config.") else 1 if re.search("train|sft|arg|lora", name) else 2
    generated = int(".next." in name)
    return (generated + int(source.snapshot), named, -len(source.values), str(source.path))


def _folders(log_path: Path) -> Iterator[Path]:
    """Yield the folders of a run: its newest checkpoint's, its own, and those around it."""
    start = log_path if log_path.is_dir() else log_path.parent
    yield start
    below = [path for path in _listing(start) if _CHECKPOINT.fullmatch(path.name) and path.is_dir()]
    for folder in sorted(below, key=_number)[-1:]:
        yield folder
        if (folder / "model").is_dir():
            yield folder / "model"
    here = start.resolve()
    for _ in range(4):
        if not (_CHECKPOINT.fullmatch(here.name) or _INSIDE.fullmatch(here.name)):
            return
        here = here.parent
        yield here


def _number(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", path.name))


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
    """Say by its bytes whether a YAML file can be a training config: parsing all is slow."""
    try:
        with path.open("rb") as file:
            head = file.read(trees.MAX_YAML)
    except OSError:
        return False
    return bool(re.search(rb"\b(lr|learning_rate|step_scheduler|lora_\w+|num_train_epochs)\b", head))


def _newest(log_path: Path) -> float | None:
    """Return when the log was last written."""
    paths = [log_path] if log_path.is_file() else _listing(log_path)
    if log_path.is_dir():
        kinds = (".jsonl", ".csv", ".log", ".out", ".txt")
        paths = [
            path
            for path in paths
            if path.suffix in kinds or path.name == "trainer_state.json" or "tfevents" in path.name
        ]
    times = []
    for path in paths:
        try:
            times.append(path.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)
