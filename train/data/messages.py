"""Chat rows in their several layouts, brought to messages as chat templates expect them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from train.data.types import Row, parse_json
from train.errors import DataError

Message = dict[str, object]

MESSAGE_COLUMNS = ("messages", "conversations", "conversation")
_ROLES = {
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
}


@dataclass(frozen=True, slots=True)
class Chat:
    """One conversation and the tools that are offered in it."""

    messages: list[Message]
    tools: list[Mapping[str, object]] | None = None


def chat_of(row: Row, where: str) -> Chat:
    column = next((name for name in MESSAGE_COLUMNS if row.get(name) is not None), None)
    if column is None:
        raise DataError(
            f"dataset: {where}: no column 'messages' or 'conversations'; it has {', '.join(row)}"
        )
    turns = _parse(row[column], f"{where}: {column}")
    if not isinstance(turns, Sequence) or not all(isinstance(turn, Mapping) for turn in turns):
        raise DataError(f"dataset: {where}: column {column!r} is not a list of messages")
    messages = [_message(turn, where) for turn in turns]
    system = row.get("system")
    if isinstance(system, str) and system.strip() and not _has_system(messages):
        messages.insert(0, {"role": "system", "content": system})
    return Chat(messages, _tools(row.get("tools"), where))


def _has_system(messages: list[Message]) -> bool:
    return bool(messages) and messages[0]["role"] == "system"


def _parse(value: object, where: str) -> object:
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except json.JSONDecodeError as error:
        raise DataError(f"dataset: {where}: not JSON ({error.msg})") from error


def _message(turn: Mapping[str, object], where: str) -> Message:
    role = turn.get("role", turn.get("from"))
    if not isinstance(role, str):
        raise DataError(f"dataset: {where}: a message has no 'role' (or 'from')")
    content = _text(turn.get("content", turn.get("value")), where)
    if role == "function_call":
        return {"role": "assistant", "content": "", "tool_calls": _calls(content, where)}
    message: Message = {"role": _ROLES.get(role, role), "content": content}
    if calls := turn.get("tool_calls"):
        message["tool_calls"] = _calls(calls, where)
    for name in ("name", "tool_call_id", "reasoning_content"):
        if isinstance(turn.get(name), str):
            message[name] = turn[name]
    return message


def _text(content: object, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [part for part in content if isinstance(part, Mapping)]
        if len(parts) == len(content) and all(isinstance(part.get("text"), str) for part in parts):
            return "".join(str(part["text"]) for part in parts)
    raise DataError(f"dataset: {where}: a message's content is not text; only text is trained on")


def _calls(calls: object, where: str) -> list[Message]:
    """OpenAI's calls; arguments as an object, because most templates write them as JSON."""
    parsed = _parse(calls, f"{where}: tool_calls")
    out: list[Message] = []
    for call in parsed if isinstance(parsed, list) else [parsed]:
        call = call if isinstance(call, Mapping) else {}
        function = call.get("function", call)
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise DataError(f"dataset: {where}: a tool call has no function name")
        made: Message = {"type": "function", "function": _function(function)}
        if isinstance(call.get("id"), str):
            made["id"] = call["id"]
        out.append(made)
    return out


def _function(function: Mapping[str, object]) -> Message:
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = parse_json(arguments)
        except json.JSONDecodeError:
            return {"name": function["name"], "arguments": arguments}
    return {"name": function["name"], "arguments": without_nulls(arguments)}


def _tools(tools: object, where: str) -> list[Mapping[str, object]] | None:
    if tools is None or tools == "":
        return None
    parsed = _parse(tools, f"{where}: tools")
    if not isinstance(parsed, list) or not all(isinstance(tool, Mapping) for tool in parsed):
        raise DataError(f"dataset: {where}: column 'tools' is not a list of objects")
    made = [_tool(without_nulls(tool)) for tool in parsed]
    return made or None


def _tool(tool: object) -> Mapping[str, object]:
    assert isinstance(tool, Mapping)
    return tool if "function" in tool else {"type": "function", "function": tool}


def without_nulls(value: object) -> object:
    """Drop null keys: a table with one schema for all rows adds them to rows that lack a key."""
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value
