"""Chats to samples: every assistant turn is supervised, its end mark included, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from train.data.encode import Encoder
from train.data.messages import Chat
from train.data.template import Rendered, Template
from train.data.types import IGNORE, Sample


def prompt_of_chat(chat: Chat) -> str:
    """Return what tells one chat from another when a set is split: its first user message."""
    for message in chat.messages:
        if message["role"] == "user":
            return str(message["content"])
    return str(chat.messages[0]["content"]) if chat.messages else ""


def samples_of_chats(
    chats: Sequence[Chat], template: Template, encoder: Encoder
) -> tuple[list[Sample | None], int]:
    """Return one sample a chat, None where nothing is supervised; and how many turns were not
    found."""
    rendered = template.render_all(chats)
    tokens = encoder.pieces([_pieces(chat) for chat in rendered])
    samples = [
        _sample(chat, pieces, template, encoder) if chat.spans else None
        for chat, pieces in zip(rendered, tokens, strict=True)
    ]
    return samples, sum(chat.lost for chat in rendered)


def _pieces(chat: Rendered) -> list[str]:
    """Return the text cut at the spans' borders: others' text and the assistant's in turn."""
    pieces, at = [], 0
    for begin, end in chat.spans:
        pieces += [chat.text[at:begin], chat.text[begin:end]]
        at = end
    return [*pieces, chat.text[at:]]


def _sample(
    chat: Rendered, pieces: list[list[int]], template: Template, encoder: Encoder
) -> Sample:
    ids: list[int] = []
    labels: list[int] = []
    for number, piece in enumerate(pieces):
        ids += piece
        labels += piece if number % 2 else [IGNORE] * len(piece)
    at_end = not chat.text[chat.spans[-1][1] :].strip()
    marked = chat.text[: chat.spans[-1][1]].rstrip().endswith(template.ends)
    if at_end and not marked and encoder.eos is not None:
        # a template without an end mark would teach a model that never stops
        ids.append(encoder.eos)
        labels.append(encoder.eos)
    return Sample(ids, labels)
