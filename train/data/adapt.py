"""What a chat template leaves out of a chat is written into the text of its messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from train.data.messages import Chat, Message


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a template shows: system messages, tools, tool calls (with ids such as 'call_0'),
    and their results."""

    system: bool
    tools: bool
    calls: bool
    ids: bool
    results: bool


def probe(render: Callable[[Chat], str]) -> Abilities:
    """Test a template by rendering small chats; it may raise anything to refuse one."""

    def shows(word: str, chat: Chat) -> bool:
        try:
            return word in render(chat)
        except Exception:
            return False

    user: Message = {"role": "user", "content": "probe"}
    system: Message = {"role": "system", "content": "xqsystem"}
    schema = {"name": "xqtool", "description": "d", "parameters": {"type": "object"}}
    calls, short = _probe_call("call00000"), _probe_call("call_0")
    return Abilities(
        system=shows("xqsystem", Chat([system, user])),
        tools=shows("xqtool", Chat([user], [{"type": "function", "function": schema}])),
        calls=shows("xqcall", Chat(calls[:2])),
        ids=shows("xqcall", Chat(short[:2])),
        results=shows("xqresult", Chat(calls)),
    )


def _probe_call(name: str) -> list[Message]:
    function = {"name": "xqcall", "arguments": {"a": 1}}
    call = {"type": "function", "id": name, "function": function}
    return [
        {"role": "user", "content": "probe"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "xqresult", "name": "xqcall", "tool_call_id": name},
    ]


def adapt(chat: Chat, can: Abilities) -> Chat:
    messages, tools = list(chat.messages), chat.tools
    if tools and not can.tools:
        messages, tools = _with_system(messages, _tools_text(tools)), None
    if not can.calls:
        messages = [_call_as_text(message) for message in messages]
    elif not can.ids:
        messages = _rename_ids(messages)
    if not can.results:
        messages = _results_as_text(messages)
    if not can.system:
        messages = _system_into_user(messages)
    return Chat(messages, tools)


def _tools_text(tools: Sequence[Mapping[str, object]]) -> str:
    lines = "\n".join(json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools)
    return f"You can call these functions:\n{lines}"


def _call_as_text(message: Message) -> Message:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return message
    lines = [
        f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>"
        for call in calls
    ]
    content = str(message.get("content") or "")
    return {"role": "assistant", "content": "\n".join(filter(None, [content, *lines]))}


def _rename_ids(messages: list[Message]) -> list[Message]:
    """Give tool calls ids of nine letters and digits, which is all that some templates take."""
    names: dict[object, str] = {}
    out: list[Message] = []
    for message in messages:
        made = dict(message)
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            made["tool_calls"] = [
                {**call, "id": names.setdefault(call.get("id"), f"call{len(names):05d}")}
                for call in calls
            ]
        if message["role"] == "tool":
            latest = next(reversed(names.values()), "call00000")
            made["tool_call_id"] = names.get(message.get("tool_call_id"), latest)
        out.append(made)
    return out


def _results_as_text(messages: list[Message]) -> list[Message]:
    out: list[Message] = []
    for message in messages:
        if message["role"] != "tool":
            out.append(message)
            continue
        text = f"<tool_response>\n{message['content']}\n</tool_response>"
        if out and out[-1]["role"] == "user":  # such templates want the roles to alternate
            out[-1] = {**out[-1], "content": f"{out[-1]['content']}\n{text}"}
        else:
            out.append({"role": "user", "content": text})
    return out


def _with_system(messages: list[Message], text: str) -> list[Message]:
    if messages and messages[0]["role"] == "system":
        joined = f"{messages[0]['content']}\n\n{text}"
        return [{**messages[0], "content": joined}, *messages[1:]]
    return [{"role": "system", "content": text}, *messages]


def _system_into_user(messages: list[Message]) -> list[Message]:
    if not messages or messages[0]["role"] != "system":
        return messages
    first, rest = messages[0], messages[1:]
    if rest and rest[0]["role"] == "user":
        joined = f"{first['content']}\n\n{rest[0]['content']}"
        return [{**rest[0], "content": joined}, *rest[1:]]
    return [{**first, "role": "user"}, *rest]
