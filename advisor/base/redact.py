"""Hide credentials in everything that is printed or stored.

Numbers, empty values and variables stay. `credentials` says as data what to look for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from advisor.base.credentials import (
    CONTEXTS,
    PEM,
    SHAPES,
    is_credential,
    is_plain,
    is_random,
    is_secret_key,
    is_some_key,
    takes_spaces,
)

__all__ = ["HIDDEN", "is_secret_key", "redact_text", "redact_value", "restore"]

HIDDEN = "<redacted>"

Span = tuple[int, int]

# KEY: value, "KEY": value, \"KEY\": value, KEY=value, --key=value, environ["KEY"] = value
_PAIR = re.compile(
    r"""(?<![\w.\-])-{0,2}(?:\\{0,8}+["'`])?+(?P<key>[A-Za-z_][\w.\-]*+)(?:\\{0,8}+["'`])?+\]?"""
    r"""[ \t]{0,40}+(?:=>|:=|[:=])[ \t]{0,200}+"""
)
# --key value, "--key", "value", --key \ and the value on the next line
_FLAG = re.compile(
    r"""(?<![\w\-])--?(?P<key>[A-Za-z][\w.\-]*+)"""
    r"""(?:["'],?[ \t\n]{0,40}["']|[ \t]{1,40}+(?:\\\r?\n[ \t]{0,40}+)?["']?)"""
    r"""(?P<value>[^\s\-"'\\][^\s"'\\]*+)"""
)
# ('KEY', 'value'): how the variables of an environment are listed and set
_VARIABLE = re.compile(
    r"""["'](?P<key>[A-Z][A-Z0-9_]*+)["'],[ \t]{0,8}(?P<quote>["'])(?P<value>[^"'\n]*+)(?P=quote)"""
)
_QUOTE = re.compile(r"""[bBrRfFuU]{0,2}(?P<mark>\\{0,8}+["'`])""")
_CLOSED = {
    '"': re.compile(r"""(?:[^"\\\n]|\\.)*+(?=")"""),
    "'": re.compile(r"""(?:[^'\\\n]|\\.)*+(?=')"""),
    "`": re.compile(r"""[^`\n]*+(?=`)"""),
}
_WORD = re.compile(r"""[^\s,;}\])#"'&|][^\s,;}\])"'&|]*+""")
_REST = re.compile(r"""[^\n\r]{0,2000}+""")
_INLINE = re.compile(r"""[^,;}\])\n\r"]{0,2000}+""")
# A comment, or another pair.
_NEXT = re.compile(
    r"""(?:[,;]|(?<![ \t,;]))[ \t]++(?:#|[\w./\-]++["']?[:=](?:[^\s=]|[ \t]++[^\s=]))"""
)
_ITEM = re.compile(r""""[^"\n]*+"|'[^'\n]*+'|[^\s,\[\]{}()"']+""")
_LISTED = re.compile(r"[+\-]?[ \t]*+(?:-[ \t]++)?")
_BLOCK = re.compile(r"(?:[|>][+\-\d]{0,2}[ \t]*|[\[{(][ \t]*|\\[ \t]*)\r?(?=\n|\Z)")
_PEM_END, _PEM_MOST = "-----END", 16_384
_LONGEST = 512  # characters of a credential without a known name, and of a line's start
_GAP = r"(?:[ \t\r\n+\-]|\\[nr])*+"
_PEM_REST = re.compile(rf"{_GAP}(?:[A-Za-z0-9+/=]{{16,}}+{_GAP})*+")


def redact_value(key: str, value: object) -> object:
    """Return a value fit to print; sections and lists are redacted inside."""
    return _show(value, is_secret_key(key), is_some_key(key))


def _show(value: object, secret: bool, perhaps: bool = False) -> object:
    if isinstance(value, Mapping):
        return {
            name: _show(
                inner, secret or is_secret_key(str(name)), perhaps or is_some_key(str(name))
            )
            for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return _words_shown(value, secret, perhaps)
    if not isinstance(value, str):
        return value
    if secret or (perhaps and is_random(value)):
        return value if is_plain(value) else HIDDEN
    return redact_text(value)


def _words_shown(items: Sequence[object], secret: bool, perhaps: bool) -> list[object]:
    """Return a redacted list; a flag of a command names the word after it."""
    shown, flag = [], False
    for item in items:
        shown.append(_show(item, secret or flag, perhaps))
        word = item if isinstance(item, str) and not flag else ""
        flag = word.startswith("-") and "=" not in word and is_secret_key(word)
    return shown


def redact_text(text: str) -> str:
    """Return text (a config, a diff, a log, a command line) with credentials hidden."""
    parts, at = [], 0
    for start, end in _spans(text):
        parts += [text[at:start], HIDDEN]
        at = end
    return "".join([*parts, text[at:]]) if parts else text


def restore(shown: str, original: str) -> str | None:
    """Return redacted text with the secrets of ``original`` in their places, in its order.

    None where the two do not hold as many.
    """
    held = [original[start:end] for start, end in _spans(original)]
    pieces = shown.split(HIDDEN)
    if len(pieces) != len(held) + 1:
        return None
    return "".join(part for pair in zip(pieces, [*held, ""], strict=True) for part in pair)


def _spans(text: str) -> list[Span]:
    """Return the places of secrets, in order and without overlap."""
    merged: list[Span] = []
    for start, end in sorted(_find_spans(text)):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    return merged


def _find_spans(text: str) -> Iterator[Span]:
    for match in SHAPES.finditer(text):
        if is_credential(match[0]):
            yield match.span()
    for context in CONTEXTS:
        for match in context.finditer(text):
            yield from _in_context(match)
    for match in PEM.finditer(text):
        yield _key_block(text, match)
    for named in (_FLAG, _VARIABLE):
        for match in named.finditer(text):
            if is_secret_key(match["key"]) and not is_plain(match["value"]):
                yield match.span("value")
    yield from _find_values(text)


def _in_context(match: re.Match[str]) -> Iterator[Span]:
    name = match.lastgroup or "value"
    value = match[name]
    if not is_plain(value) and (name == "value" or _holds_digit(value)):
        yield match.span(name)


def _holds_digit(word: str) -> bool:
    return any(c.isdigit() for c in word) and any(c.isalpha() for c in word)


def _key_block(text: str, begin: re.Match[str]) -> Span:
    """Return the place of a PEM key between its two lines; a truncated key ends early."""
    end = text.find(_PEM_END, begin.end(), begin.end() + _PEM_MOST)
    if end >= 0:
        return begin.end(), end
    rest = _PEM_REST.match(text, begin.end())
    return begin.end(), rest.end() if rest else begin.end()


def _find_values(text: str) -> Iterator[Span]:
    """Yield the values that follow the names of credentials."""
    at = 0
    while (match := _PAIR.search(text, at)) is not None:
        at = match.end()
        key = match["key"]
        if is_secret_key(key):
            found, at = _values(text, match)
            yield from (span for span in found if not is_plain(text[slice(*span)]))
        elif is_some_key(key):
            if at < len(text) and text[at] in "\r\n":  # a prompt, answered on the next line
                at = text.find("\n", at) + 1 or len(text)
            word = _ITEM.match(text, at, at + _LONGEST)
            if word is not None and is_random(word[0]):
                yield _span_of_item(word)


def _values(text: str, pair: re.Match[str]) -> tuple[list[Span], int]:
    """Return the places of a pair's value, after its name or below, and where to go on."""
    at = pair.end()
    if at >= len(text) or text[at] in "\r\n" or _BLOCK.match(text, at):
        return _find_values_below(text, pair)
    quote = _QUOTE.match(text, at)
    if quote is not None:
        end = _end_of_quote(text, quote)
        return [(quote.end(), end)], end
    if text[at] in "[{(":
        return _items(text, at, _line_end(text, at))
    if not takes_spaces(pair["key"]) or text[max(0, pair.start() - 1)] in "?&":
        word = _WORD.match(text, at)
        return ([word.span()], word.end()) if word else ([], at)
    before = text[_line_start(text, pair.start()) : pair.start()]
    owns_line = text[at - 1] in " \t" and not before.strip("+- \t")
    whole = (_REST if owns_line else _INLINE).match(text, at)
    assert whole is not None  # both patterns also match the empty text
    other = _NEXT.search(whole[0])
    end = at + (other.start() if other else len(whole[0].rstrip()))
    plain = all(map(is_plain, text[at:end].split()))
    return ([] if plain else [(at, end)]), end


def _line_start(text: str, at: int) -> int:
    """Return where a line begins, or at most _LONGEST characters before."""
    return text.rfind("\n", max(0, at - _LONGEST), at) + 1 or max(0, at - _LONGEST)


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _end_of_quote(text: str, quote: re.Match[str]) -> int:
    """Return where a quoted value ends; an unclosed quote ends with its line."""
    mark, start = quote["mark"], quote.end()
    if len(mark) > 1:
        line_end = _line_end(text, start)
        end = text.find(mark, start, line_end)
        return end if end >= 0 else line_end
    closed = _CLOSED[mark].match(text, start)
    return closed.end() if closed else _line_end(text, start)


def _items(text: str, start: int, stop: int) -> tuple[list[Span], int]:
    """Return the values of a bracketed list or section, and where it ends."""
    depth, at, found = 0, start, list[Span]()
    while at < stop:
        if text[at] in "[{(":
            depth += 1
        elif text[at] in "]})":
            depth -= 1
            if depth <= 0:
                break
        elif item := _ITEM.match(text, at, stop):
            at = item.end()
            if text[at : at + 1] not in (":", "=") and not item[0].endswith((":", "=")):
                found.append(_span_of_item(item))
            continue
        at += 1
    return found, at


def _span_of_item(item: re.Match[str]) -> Span:
    quoted = item[0][0] in "\"'"
    return item.start() + quoted, item.end() - quoted


def _find_values_below(text: str, pair: re.Match[str]) -> tuple[list[Span], int]:
    """Return the values on the lines below a name: those indented deeper, or a single word."""
    line = _line_start(text, pair.start())
    column = pair.start() - line
    starts = not text[line : pair.start()].strip("+- \t{,")
    found: list[Span] = []
    end = _line_end(text, pair.end())
    while end < len(text):
        start, stop = end + 1, _line_end(text, end + 1)
        indent = _indent(text, start, stop)
        if indent < stop:
            if not starts or indent - start <= column:
                return found or _find_lone_word(text, indent, stop), end
            found += _line_below(text, indent, stop)
        end = stop
    return found, end


def _indent(text: str, start: int, stop: int) -> int:
    """Return where the content of a line begins, after a diff sign and a list dash."""
    match = _LISTED.match(text, start, stop)
    return start if match is None else match.end()


def _find_lone_word(text: str, start: int, stop: int) -> list[Span]:
    """Return the word that answers a prompt on the line above, if it looks like a credential."""
    if text[start] in "\"'" or is_random(text[start:stop].strip()):
        return _items(text, start, stop)[0][:1]
    return []


def _line_below(text: str, start: int, stop: int) -> list[Span]:
    """Return the values on one line below a name: that of a name of its own, or the whole line."""
    own = _PAIR.match(text, start, stop)
    items, _ = _items(text, start if own is None else own.end(), stop)
    if not items or all(is_plain(text[slice(*item)]) for item in items):
        return items
    whole = items[0][0], items[-1][1]
    if is_plain(text[slice(*whole)]):  # a number with its unit
        return []
    return items if own is not None else [whole]
