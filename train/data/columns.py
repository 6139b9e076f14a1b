"""Column-mapped instruction rows: context and question joined with a blank, then the answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from train.config.types import DatasetConfig
from train.data.encode import Encoder
from train.data.types import IGNORE, Row, Sample
from train.errors import DataError

_PROMPT_FIELDS = ("context", "question")


@dataclass(frozen=True, slots=True)
class TokenColumns:
    """Which column holds the context, the question and the answer."""

    prompt: tuple[str, ...]
    answer: str

    def prompt_of(self, row: Row, where: str) -> str:
        parts = (text_of(row, column, where) for column in self.prompt)
        return " ".join(part for part in parts if part)

    def answer_of(self, row: Row, where: str) -> str:
        return text_of(row, self.answer, where)


def columns_of(config: DatasetConfig) -> TokenColumns:
    mapping = config.column_mapping
    unknown = sorted(set(mapping) - {*_PROMPT_FIELDS, "answer"})
    if unknown:
        raise DataError(
            f"dataset.column_mapping: {unknown[0]!r} is not a field; "
            "fields are context, question and answer"
        )
    if "answer" not in mapping:
        raise DataError("dataset.column_mapping: 'answer' is missing; name the column to be learnt")
    prompt = tuple(mapping[name] for name in _PROMPT_FIELDS if mapping.get(name))
    if not prompt:
        raise DataError("dataset.column_mapping: name a column for context, question or both")
    return TokenColumns(prompt, mapping["answer"])


def check_columns(columns: TokenColumns, rows: Sequence[Row], label: str) -> None:
    """A column that none of the first rows has is a mistake; one that some lack is empty there."""
    found = {key for row in rows for key in row}
    for column in (*columns.prompt, columns.answer):
        if rows and column not in found:
            have = ", ".join(sorted(found))
            raise DataError(
                f"dataset: {label}: no column {column!r}; it has {have}: mend column_mapping"
            )


def text_of(row: Row, column: str, where: str) -> str:
    value = row.get(column)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise DataError(
        f"dataset: {where}: column {column!r} holds a {type(value).__name__}, expected text"
    )


def border(prompt: str, answer: str) -> tuple[str, str]:
    """Return the two texts with one blank between them, which belongs to the answer: so ' yes' is
    the token that a model would write after the prompt. Other white space there is left as it
    is."""
    if prompt.endswith(" "):
        return prompt[:-1], " " + answer
    if not prompt or prompt[-1].isspace() or answer[:1].isspace():
        return prompt, answer
    return prompt, " " + answer


def samples_of_pairs(
    pairs: Sequence[tuple[str, str]], encoder: Encoder, answer_only: bool = True
) -> list[Sample | None]:
    """Return one sample a pair of prompt and answer; None where there is no answer to learn."""
    kept = [at for at, (_, answer) in enumerate(pairs) if answer.strip()]
    tokens = encoder.pieces([border(*pairs[at]) for at in kept])
    out: list[Sample | None] = [None] * len(pairs)
    for at, (prompt, answer) in zip(kept, tokens, strict=True):
        out[at] = _sample(prompt, answer, encoder, answer_only)
    return out


def _sample(prompt: list[int], answer: list[int], encoder: Encoder, answer_only: bool) -> Sample:
    if encoder.eos is not None and answer[-1:] != [encoder.eos]:
        answer = [*answer, encoder.eos]
    ids = encoder.with_prefix([*prompt, *answer])
    masked = len(ids) - len(answer) if answer_only else len(ids) - len(prompt) - len(answer)
    return Sample(ids, [IGNORE] * masked + ids[masked:])
