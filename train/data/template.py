"""Chats rendered by a template, with the spans of text that the assistant wrote.

A span is found by rendering the chat up to the turn (with the generation prompt) and through
it: what the second has beyond the first was written by the assistant. Some templates render
earlier turns differently once later ones follow (reasoning that is taken out); there the turn
begins after a header as the template writes it elsewhere, and ends at its end mark. What cannot
be found is not trained on, and counted. A template that marks the assistant's text itself is
believed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from train.data.adapt import adapt, probe
from train.data.messages import Chat, Message
from train.errors import DataError

_MARKED = re.compile(r"\{%-?\s*generation\s*-?%\}")

# Used where a tokenizer has no template; saved with the model, so that it is served with it.
OUR_TEMPLATE = """\
{%- for message in messages %}\
{{- '<|im_start|>' + message.role + '\\n' + message.content + END + '\\n' }}\
{%- endfor %}\
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""


@dataclass(frozen=True, slots=True)
class Rendered:
    """``spans`` are what the assistant wrote, in order; ``lost`` counts turns not found."""

    text: str
    spans: tuple[tuple[int, int], ...]
    lost: int = 0


def ensure_template(tokenizer: Any, adds_bos: bool) -> str | None:
    """Give a tokenizer without a template a plain one; return the notice to show if so."""
    if tokenizer.chat_template:
        return None
    known = tokenizer.convert_tokens_to_ids("<|im_end|>")
    marked = known not in (None, tokenizer.unk_token_id) or not tokenizer.eos_token
    end = "'<|im_end|>'" if marked else "eos_token"
    start = "{{- bos_token }}" if adds_bos and tokenizer.bos_token else ""
    tokenizer.chat_template = start + OUR_TEMPLATE.replace("END", end)
    return "the tokenizer has no chat template: a plain ChatML one is used and saved with the model"


class Template:
    """The chat template of a tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        template = tokenizer.get_chat_template()
        self.marked = bool(_MARKED.search(template))
        specials = {str(t) for t in tokenizer.all_special_tokens}
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        specials |= {token.content for token in added if token.special}
        self.ends = tuple(sorted(specials, key=len, reverse=True))
        self.can = probe(self._text)
        self.headers = self._headers()

    def render_all(self, chats: Sequence[Chat]) -> list[Rendered]:
        adapted = [adapt(chat, self.can) for chat in chats]
        if self.marked:
            return [self._render_marked(chat) for chat in adapted]
        return self._render_by_difference(adapted)

    def _headers(self) -> tuple[str, ...]:
        """Return what a template writes before an assistant's text: of an earlier turn, of the last
        one, and as a prompt; longest first."""
        user: Message = {"role": "user", "content": "probe"}
        answer: Message = {"role": "assistant", "content": "xqanswer"}
        found: set[str] = set()
        try:
            base = self._text(Chat([user]))
            for chat in ([user, answer, user], [user, answer]):
                text = self._text(Chat(chat))
                if text.startswith(base) and "xqanswer" in text:
                    found.add(text[len(base) : text.index("xqanswer")])
            prompt = self._text(Chat([user]), prompt=True)
        except Exception:  # a template refuses by raising whatever it likes
            return ()
        found |= {prompt[len(base) :]} if prompt.startswith(base) else set()
        return tuple(sorted(found - {""}, key=len, reverse=True))

    def _text(self, chat: Chat, prompt: bool = False) -> str:
        return str(
            self.tokenizer.apply_chat_template(
                chat.messages, tools=chat.tools, tokenize=False, add_generation_prompt=prompt
            )
        )

    def _texts(self, chats: Sequence[Chat], prompt: bool = False) -> list[str]:
        """Return the texts of chats; those without tools go through one call."""
        plain = [at for at, chat in enumerate(chats) if not chat.tools and chat.messages]
        out = [""] * len(chats)
        try:
            texts = (
                self.tokenizer.apply_chat_template(
                    [chats[at].messages for at in plain],
                    tokenize=False,
                    add_generation_prompt=prompt,
                )
                if plain
                else []
            )
            for at, text in zip(plain, texts, strict=True):
                out[at] = text
            for at, chat in enumerate(chats):
                if chat.tools and chat.messages:
                    out[at] = self._text(chat, prompt)
        except Exception as error:  # a template refuses by raising whatever it likes
            line = str(error).strip().split("\n")[0]
            raise DataError(
                f"dataset: the chat template refuses a chat: {line}; mend the roles in the data, "
                "or give the tokenizer another template"
            ) from error
        return out

    def _render_marked(self, chat: Chat) -> Rendered:
        from transformers.utils import chat_template_utils

        render: Any = chat_template_utils.render_jinja_template
        texts, spans = render(
            conversations=[chat.messages],
            tools=chat.tools,
            chat_template=self.tokenizer.get_chat_template(tools=chat.tools),
            return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map,
        )
        text = texts[0]
        return Rendered(text, tuple((a, self._with_end(text, b)) for a, b in spans[0] if a < b))

    def _with_end(self, text: str, end: int) -> int:
        """Return where a turn ends, its end mark included, whether or not the template counts it
        in. Without one, generation stops at the mark that opens the next turn."""
        if text[:end].rstrip().endswith(self.ends):
            return end
        mark = next((mark for mark in self.ends if text.startswith(mark, end)), "")
        return end + len(mark)

    def _render_by_difference(self, chats: Sequence[Chat]) -> list[Rendered]:
        texts = self._texts(chats)
        turns = [
            (row, at)
            for row, chat in enumerate(chats)
            for at, message in enumerate(chat.messages)
            if message["role"] == "assistant"
        ]
        before = self._texts([_first(chats[row], at) for row, at in turns], prompt=True)
        through = self._texts([_first(chats[row], at + 1) for row, at in turns])
        spans: list[list[tuple[int, int]]] = [[] for _ in chats]
        lost = [0] * len(chats)
        for (row, at), start, end in zip(turns, before, through, strict=True):
            if not _learnable(chats[row].messages[at]):
                continue
            floor = spans[row][-1][1] if spans[row] else 0
            begin = self._begin(texts[row], start, _first(chats[row], at))
            span = self._span(texts[row], begin, end, chats[row].messages[at])
            if span is not None and span[0] < floor:
                span = None
            if span is None:
                lost[row] += 1
            else:
                spans[row].append(span)
        return [
            Rendered(text, tuple(found), missing)
            for text, found, missing in zip(texts, spans, lost, strict=True)
        ]

    def _begin(self, text: str, before: str, chat: Chat) -> int | None:
        """Return where the turn after ``chat`` begins; ``before`` is that chat with the prompt for
        it."""
        if not chat.messages:  # templates do not render an empty chat
            places = [text.find(header) + len(header) for header in self.headers if header in text]
            return min(places, default=None)
        if text.startswith(before):
            return len(before)
        base = self._text(chat)
        if not text.startswith(base):
            return None
        for header in self.headers:
            if text.startswith(header, len(base)):
                return len(base) + len(header)
        return None

    def _span(
        self, text: str, begin: int | None, through: str, message: Message
    ) -> tuple[int, int] | None:
        if begin is None:
            return None
        mark = next((mark for mark in self.ends if through.rstrip().endswith(mark)), "")
        if text.startswith(through):
            end = len(through)
        elif mark and text.find(mark, begin) >= 0:
            end = text.find(mark, begin) + len(mark)
        else:
            return None
        if mark:  # white space after the end mark belongs to the template
            end = begin + len(text[begin:end].rstrip())
        end = self._with_end(text, end)
        return (begin, end) if begin < end and _written(message, text[begin:end]) else None


def _learnable(message: Message) -> bool:
    return bool(str(message.get("content") or "").strip() or message.get("tool_calls"))


def _written(message: Message, text: str) -> bool:
    """Return whether the text of a span is the message's: the end of its content, or its calls."""
    content = str(message.get("content") or "").strip()
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        return all(str(call["function"]["name"]) in text for call in calls)
    return content.rsplit("\n", 1)[-1][-20:] in text  # what stands before may be taken out


def _first(chat: Chat, count: int) -> Chat:
    return Chat(chat.messages[:count], chat.tools)
