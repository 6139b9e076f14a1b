"""One data set's rows made into samples: its layout, the length limit, what was dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from train.config.types import DatasetConfig
from train.data.chat import prompt_of_chat, samples_of_chats
from train.data.columns import TokenColumns, check_columns, columns_of, samples_of_pairs
from train.data.encode import Encoder
from train.data.messages import MESSAGE_COLUMNS, Chat, chat_of
from train.data.sources import RowSource, open_source
from train.data.split import key_of
from train.data.store import SampleStore, StoreBuilder
from train.data.template import Template, ensure_template
from train.data.types import ANY_LENGTH, IGNORE, ModelLimits, Row, Sample
from train.data.user import open_user, sample_of_row
from train.data.xlam import chat_of_xlam
from train.errors import DataError, TrainConfigError

CHUNK = 1000  # rows that are tokenised at once
_REAL_LIMIT = 10_000_000  # tokenizers without a limit name a larger one

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the rows: ``masked`` have nothing to learn, ``cut_off`` of them because
    their answer lies beyond the length limit; ``lost`` turns were not found in their chat."""

    rows: int = 0
    masked: int = 0
    cut_off: int = 0
    truncated: int = 0
    lost: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.rows + other.rows,
            self.masked + other.masked,
            self.cut_off + other.cut_off,
            self.truncated + other.truncated,
            self.lost + other.lost,
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """The samples of some rows in their order, None where nothing can be learnt."""

    samples: list[Sample | None]
    prompts: list[str]
    tally: Tally


@dataclass(slots=True)
class RowReader:
    """``limit``: tokens of a sample, None without a limit. ``vocabulary``: ids that the model
    has an embedding for, where the rows might hold others."""

    config: DatasetConfig
    source: RowSource
    encoder: Encoder
    limit: int | None
    longer: str = "raise dataset.seq_length"  # what to do where the limit cuts too much
    vocabulary: int | None = None
    notices: list[str] = field(default_factory=list)
    _columns: TokenColumns | None = None
    _template: Template | None = None

    def prepare(self, rows: Sequence[Row]) -> None:
        """Look at the first rows: which columns there are, and whether a template is needed."""
        kind = self.config.kind
        if kind == "columns" or (kind == "user" and self.config.column_mapping):
            self._columns = columns_of(self.config)
            check_columns(self._columns, rows, self.source.label)
        elif kind == "user":
            self._columns = _own_columns(rows)
        if kind in ("chat", "xlam") or self.config.use_hf_chat_template or _chats(rows, kind):
            tokenizer = self.encoder.tokenizer
            notice = ensure_template(tokenizer, bool(self.encoder.prefix))
            self.notices += [notice] if notice else []
            self._template = Template(tokenizer)

    def chunk(self, rows: Sequence[Row], start: int) -> Chunk:
        """Return samples of rows that begin at number ``start`` of the data set."""
        where = [f"{self.source.label}: row {start + at}" for at in range(len(rows))]
        if self.config.kind == "user":
            return self._read_mixed(rows, where)
        if self.config.kind == "columns":
            return self._finish(*self._of_columns(rows, where))
        read = chat_of_xlam if self.config.kind == "xlam" else chat_of
        return self._finish(*self._of_chats([read(r, w) for r, w in zip(rows, where, strict=True)]))

    def _of_columns(
        self, rows: Sequence[Row], where: list[str]
    ) -> tuple[list[Sample | None], list[str], int]:
        columns = self._columns
        if columns is None:
            raise DataError(
                f"dataset: {where[0]}: neither input_ids, messages, nor known columns; "
                "give column_mapping"
            )
        pairs = [
            (columns.prompt_of(row, place), columns.answer_of(row, place))
            for row, place in zip(rows, where, strict=True)
        ]
        if self.config.use_hf_chat_template:
            return self._of_chats([_chat_of_pair(*pair) for pair in pairs])
        samples = samples_of_pairs(pairs, self.encoder, self.config.answer_only_loss_mask)
        return samples, [prompt or answer for prompt, answer in pairs], 0

    def _of_chats(self, chats: Sequence[Chat]) -> tuple[list[Sample | None], list[str], int]:
        assert self._template is not None, "prepare() comes first"
        samples, lost = samples_of_chats(chats, self._template, self.encoder)
        return samples, [prompt_of_chat(chat) for chat in chats], lost

    def _read_mixed(self, rows: Sequence[Row], where: list[str]) -> Chunk:
        """Return the samples of a user's rows, which may be tokenised, chats, or columns."""
        samples: list[Sample | None] = []
        prompts: list[str] = []
        lost = 0
        for row, place in zip(rows, where, strict=True):
            made = sample_of_row(row, place)
            if made is not None:
                samples.append(made)
                prompts.append(_unlearnt(made))
                continue
            if any(column in row for column in MESSAGE_COLUMNS):
                found, names, missing = self._of_chats([chat_of(row, place)])
            else:
                found, names, missing = self._of_columns([row], [place])
            samples += found
            prompts += names
            lost += missing
        return self._finish(samples, prompts, lost)

    def _finish(self, samples: list[Sample | None], prompts: list[str], lost: int) -> Chunk:
        out: list[Sample | None] = []
        cut_off = truncated = 0
        for sample in samples:
            kept = sample
            if sample is not None and self.vocabulary:
                self._check_ids(sample)
            if sample is not None and self.limit and len(sample.input_ids) > self.limit:
                truncated += 1
                kept = Sample(sample.input_ids[: self.limit], sample.labels[: self.limit])
                cut_off += not _teaches(kept)
            out.append(kept if kept is not None and _teaches(kept) else None)
        masked = sum(sample is None for sample in out)
        return Chunk(out, prompts, Tally(len(samples), masked, cut_off, truncated, lost))

    def _check_ids(self, sample: Sample) -> None:
        low, high = min(sample.input_ids, default=0), max(sample.input_ids, default=0)
        if low < 0 or high >= (self.vocabulary or 0):
            raise DataError(
                f"dataset: {self.source.label}: has the token {low if low < 0 else high}, the "
                f"model has embeddings for 0 to {(self.vocabulary or 0) - 1}; tokenise with the "
                "model's own tokenizer"
            )


def open_reader(
    config: DatasetConfig,
    tokenizer: Any,
    allow_user: bool,
    packed: int = 0,
    limits: ModelLimits = ANY_LENGTH,
) -> tuple[RowReader, list[Row]]:
    """Return a prepared reader and the first rows, at which it looked."""
    _check_length(config, limits)
    if config.kind == "user":
        source = open_user(config, tokenizer, allow_user)
    else:
        source = open_source(config)
    known = tokenizer.model_max_length if tokenizer.model_max_length < _REAL_LIMIT else None
    lengths = [each for each in (config.seq_length or known, packed, limits.positions) if each]
    reader = RowReader(config, source, Encoder(tokenizer), min(lengths, default=None))
    if reader.limit and reader.limit == limits.positions:
        reader.longer = f"{limits.name} has no positions for more"
    elif reader.limit and reader.limit == packed:
        reader.longer = "raise packed_sequence.packed_sequence_size"
    if config.kind == "user" or (limits.vocabulary and len(tokenizer) > limits.vocabulary):
        reader.vocabulary = limits.vocabulary
    first = list(islice(source.read(0), CHUNK))
    if not first:
        raise DataError(f"dataset: {source.label}: no rows; look at split and limit")
    reader.prepare(first)
    return reader, first


def _check_length(config: DatasetConfig, limits: ModelLimits) -> None:
    if config.seq_length and limits.positions and config.seq_length > limits.positions:
        raise TrainConfigError(
            f"dataset.seq_length: {config.seq_length} is more than the {limits.positions} "
            f"positions of {limits.name}; set it to {limits.positions} or less"
        )


def chunks(rows: Iterator[Row], size: int = CHUNK) -> Iterator[list[Row]]:
    while part := list(islice(rows, size)):
        yield part


def read_all(reader: RowReader, notify: Notify) -> tuple[SampleStore, Tally]:
    """Return every sample of the data set, tokenised."""
    builder, tally = StoreBuilder(), Tally()
    for rows in chunks(reader.source.read(0)):
        part = reader.chunk(rows, tally.rows)
        add(builder, part)
        tally += part.tally
        if tally.rows % (20 * CHUNK) == 0:
            notify(f"{reader.source.label}: {tally.rows:,} rows read")
    check(reader, tally)
    return builder.build(), tally


def add(builder: StoreBuilder, part: Chunk) -> None:
    kept = [(s, p) for s, p in zip(part.samples, part.prompts, strict=True) if s is not None]
    builder.add([sample for sample, _ in kept], [key_of(prompt) for _, prompt in kept])


def check(reader: RowReader, tally: Tally) -> None:
    if tally.masked < tally.rows:
        return
    if tally.cut_off > tally.rows // 2:
        cure = f"their answers begin after token {reader.limit}: {reader.longer}"
    elif tally.lost:
        cure = "no assistant turn was found in the rendered chats: look at the chat template"
    else:
        cure = "they have no answer or assistant turn: look at column_mapping and the data"
    raise DataError(f"dataset: {reader.source.label}: all {tally.rows} rows are masked, {cure}")


def _chat_of_pair(prompt: str, answer: str) -> Chat:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return Chat([dict(message) for message in messages])


def _own_columns(rows: Sequence[Row]) -> TokenColumns | None:
    """Return our own column names, if a user's rows without a mapping use them."""
    names = {key for row in rows[:50] if hasattr(row, "keys") for key in row}
    prompt = tuple(name for name in ("context", "question") if name in names)
    return TokenColumns(prompt, "answer") if prompt and "answer" in names else None


def _chats(rows: Sequence[Row], kind: str) -> bool:
    return kind == "user" and any(
        column in row for row in rows if hasattr(row, "keys") for column in MESSAGE_COLUMNS
    )


def _teaches(sample: Sample) -> bool:
    """Return whether any token is supervised; looks from the end, where an answer mostly is."""
    return any(label != IGNORE for label in sample.labels[:0:-1])


def _unlearnt(sample: Sample) -> str:
    """Return the prompt of a tokenised sample: what stands before its first label."""
    at = next((i for i, label in enumerate(sample.labels) if label != IGNORE), 0)
    return " ".join(map(str, sample.input_ids[:at] or sample.input_ids))
