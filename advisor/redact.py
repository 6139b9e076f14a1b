"""Secrets out of everything that is printed: values of keys that look like a credential."""

from __future__ import annotations

import re
from collections.abc import Mapping

HIDDEN = "<redacted>"

_ALWAYS = {"password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials"}
_ALWAYS |= {"apikey", "authtoken", "accesstoken", "secretkey", "accesskey", "privatekey"}
# A token of text, not of access, where one of these stands before it.
_OF_TEXT = re.compile(
    "pad|eos|bos|unk|cls|sep|mask|special|image|video|audio|start|end|stop|num|per|max|min|boi|eoi|"
    "im|assistant|response|prompt|instruction|think|tool|extra|last|first|next|new|added|decoder|"
    "teacherless|soft|begin|forced|bad|separator|latent|action|speech|target|input|output"
)
_KEY_OF = re.compile(
    "api|access|secret|private|wandb|auth|encryption|ssh|account|license|service|aws|hf|comet|"
    "neptune|openai|deploy|hub|huggingface|mlflow"
)
_SHAPES = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_\-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bgithub_pat_\w{20,}|\bAKIA[0-9A-Z]{16}\b|\bxox[bpars]-[A-Za-z0-9-]{10,}"
    r"|(?<=://)[^/\s:@]+:[^/\s:@]+(?=@)"
)
_PAIR = re.compile(
    r"""(?P<head>["']?(?P<key>[A-Za-z_][\w.\-]*)["']?\s*[:=]\s*)"""
    r"""(?P<value>\$\{\w+\}|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,}\]#"'][^,}\]#\n\r]*)"""
)
# A key that begins its line owns the rest of it, commas and all.
_LINE = re.compile(
    r"""(?P<head>[+\- ]?\s*(?:- )?(?P<key>[A-Za-z_][\w.\-]*)\s*[:=][ \t]+)"""
    r"""(?P<value>\S.*?)(?=\s+#|\s*$)"""
)
_FLAG = re.compile(r"(?P<head>--(?P<key>[A-Za-z_][\w.\-]*)(?:\s+|=))(?P<value>[^\s\-]\S*)")
_VARIABLE = re.compile(r"""["']?\$\{\w+\}["']?""")
_PLAIN = re.compile(r"""(?i)["']?(null|none|true|false|~|[-+\d.eE]+)?["']?\s*""")
_HEX = re.compile(r"""["']?[0-9a-f]{32,64}["']?\s*""")


def is_secret_key(name: str) -> bool:
    """Say whether the value under this name would be a credential."""
    words = _words(name)
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _ALWAYS or "".join(words[-2:]) in _ALWAYS:
        return True
    if last == "token":
        return not _OF_TEXT.fullmatch(before)
    return last == "key" and bool(_KEY_OF.fullmatch(before))


def _words(name: str) -> list[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return [word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word]


def redact_value(key: str, value: object) -> object:
    """Return a value as it may be printed; sections and lists are gone through."""
    if isinstance(value, Mapping):
        return {name: redact_value(f"{key}.{name}", inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(key, item) for item in value]
    if not isinstance(value, str):
        return value
    hide = is_secret_key(key) or (_words(key)[-1:] == ["key"] and _HEX.fullmatch(value))
    if hide and value and not _VARIABLE.fullmatch(value):
        return HIDDEN
    return _SHAPES.sub(HIDDEN, value)


def redact_text(text: str) -> str:
    """Return text (a config, a diff, a command line) with the values of credentials hidden."""
    lines = []
    deeper = -1  # within the block text of a credential: hide what is indented further
    for line in text.splitlines(keepends=True):
        body = line[1:] if line[:1] in "+-" else line
        indent = len(body) - len(body.lstrip())
        if deeper >= 0 and (indent > deeper or not body.strip()):
            lines.append(re.sub(r"\S.*", HIDDEN, line[1:]).join([line[:1], ""]))
            continue
        match = _LINE.match(line)
        secret = match is not None and is_secret_key(match["key"])
        block = match is not None and secret and match["value"][:1] in "|>"
        deeper = indent if block else -1
        if match is not None and secret and not block and match["value"][:1] not in "\"'{[":
            line = _LINE.sub(_hide, line)
        else:
            line = _PAIR.sub(_hide, _FLAG.sub(_hide, line))
        lines.append(_SHAPES.sub(HIDDEN, line))
    return "".join(lines)


def _hide(match: re.Match[str]) -> str:
    key, value = match["key"], match["value"]
    secret = is_secret_key(key) or (_words(key)[-1:] == ["key"] and bool(_HEX.fullmatch(value)))
    if not secret or _PLAIN.fullmatch(value) or _VARIABLE.fullmatch(value.strip()):
        inner = _PAIR.sub(_hide, value) if ":" in value or "=" in value else value
        return match["head"] + inner
    quote = value[0] if value[0] in "\"'" else ""
    tail = value[len(value.rstrip()) :] if not quote else ""
    return f"{match['head']}{quote}{HIDDEN}{quote}{tail}"
