"""Text to tokens in pieces whose borders no merge crosses.

A label starts where a piece starts, so the border between prompt and answer must lie between
tokens, and where it lies must not depend on what follows. Pieces are therefore tokenised apart.
Tokenizers that put a blank before every text (the sentencepiece kind) would write one at each
border; for those the joined text is tokenised and only a token across a border is cut.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

_HALVES = re.compile("[\ud800-\udfff]")
_BLANKS = ("▁", "Ġ")  # how vocabularies write a leading blank


class Encoder:
    """A tokenizer, and what has to be known about it once."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.eos: int | None = tokenizer.eos_token_id
        self.prefix = self._prefix()
        first = tokenizer.convert_ids_to_tokens(self._ids(["a"])[0][:1])
        self.adds_blank = bool(first) and str(first[0]).startswith(_BLANKS)

    def _prefix(self) -> list[int]:
        """Return what the tokenizer itself puts before a text: BOS, or nothing."""
        bare = self._ids(["a"])[0]
        full = list(self.tokenizer("a")["input_ids"])
        for at in range(len(full) - len(bare) + 1):
            if full[at : at + len(bare)] == bare:
                return full[:at]
        return []

    def with_prefix(self, ids: list[int]) -> list[int]:
        """Return tokens with BOS before them, if the tokenizer would add one and the text brought
        none."""
        return ids if ids[: len(self.prefix)] == self.prefix else self.prefix + ids

    def pieces(self, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        """Return the tokens of each piece of each text."""
        if self.adds_blank and self.tokenizer.is_fast:
            return self._tokenise_joined(texts)
        joined = [piece for pieces in texts for piece in pieces]
        flat = self._ids(joined)
        ends = list(accumulate(map(len, texts), initial=0))
        if self.adds_blank:
            flat = [
                ids if at in ends else self._without_blank(joined[at], ids)
                for at, ids in enumerate(flat)
            ]
        return [flat[a:b] for a, b in pairwise(ends)]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        found = self._tokenise(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        ids: list[list[int]] = found["input_ids"]
        return ids

    def _tokenise(self, texts: list[str], **options: Any) -> Any:
        """Half a character, which cut-off JSON holds, is no text to a tokenizer: it becomes the
        mark that stands for what is missing."""
        try:
            return self.tokenizer(texts, **options)
        except (TypeError, UnicodeEncodeError):
            mended = [_HALVES.sub("\ufffd", text) for text in texts]
            if mended == texts:
                raise
            return self.tokenizer(mended, **options)

    def _tokenise_joined(self, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        if not texts:
            return []
        found = self._tokenise(
            ["".join(pieces) for pieces in texts],
            add_special_tokens=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        return [
            self._cut("".join(pieces), list(accumulate(map(len, pieces))), ids, spans)
            for pieces, ids, spans in zip(
                texts, found["input_ids"], found["offset_mapping"], strict=True
            )
        ]

    def _cut(
        self, text: str, ends: list[int], ids: list[int], spans: list[tuple[int, int]]
    ) -> list[list[int]]:
        out: list[list[int]] = [[] for _ in ends]
        at, last = 0, len(ends) - 1
        for token, (begin, end) in zip(ids, spans, strict=True):
            while at < last and begin >= ends[at]:
                at += 1
            inside = [border for border in ends[at:last] if begin < border < end]
            if not inside:
                out[at].append(token)
                continue
            for a, b in pairwise([begin, *inside, end]):
                part = self._ids([text[a:b]])[0]
                first = a == begin and self._starts_blank(token)  # that blank is the token's own
                out[at] += part if first else self._without_blank(text[a:b], part)
                at += 1
            at -= 1
        return out

    def _without_blank(self, text: str, ids: list[int]) -> list[int]:
        """Remove the blank that the tokenizer put before a text without one."""
        if not ids or text.startswith(" "):
            return ids
        if not self._starts_blank(ids[0]):
            return ids
        first = str(self.tokenizer.convert_ids_to_tokens(ids[0]))
        if first in _BLANKS:
            return ids[1:]
        bare = self.tokenizer.convert_tokens_to_ids(first[1:])
        known = bare is not None and bare != self.tokenizer.unk_token_id
        return [bare, *ids[1:]] if known else ids

    def _starts_blank(self, token: int) -> bool:
        return str(self.tokenizer.convert_ids_to_tokens(token)).startswith(_BLANKS)
