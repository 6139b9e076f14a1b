"""xLAM function calling: query, tools and answers (the last two JSON in text) to a chat."""

from __future__ import annotations

import json
from collections.abc import Mapping

from train.data.messages import Chat, Message
from train.data.types import Row, parse_json
from train.errors import DataError

_TYPES = {
    "str": "string",
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "float": "number",
    "number": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "list": "array",
    "array": "array",
    "tuple": "array",
    "set": "array",
    "dict": "object",
    "object": "object",
}
_COLUMNS = ("query", "tools", "answers")


def chat_of_xlam(row: Row, where: str) -> Chat:
    missing = [column for column in _COLUMNS if column not in row]
    if missing:
        raise DataError(
            f"dataset: {where}: no column {missing[0]!r}; xLAM rows have query, tools and answers"
        )
    calls: list[Message] = []
    for number, answer in enumerate(_objects(row, "answers", where)):
        function = {"name": answer.get("name"), "arguments": answer.get("arguments") or {}}
        calls.append({"type": "function", "id": f"call_{number}", "function": function})
    reply: Message = {"role": "assistant", "content": ""}
    if calls:
        reply["tool_calls"] = calls
    tools = [_schema(tool) for tool in _objects(row, "tools", where)]
    return Chat([{"role": "user", "content": str(row["query"])}, reply], tools or None)


def _objects(row: Row, column: str, where: str) -> list[Mapping[str, object]]:
    value = row[column]
    if isinstance(value, str):
        try:
            value = parse_json(value) if value.strip() else []
        except json.JSONDecodeError as error:
            raise DataError(
                f"dataset: {where}: column {column!r}: not JSON ({error.msg})"
            ) from error
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise DataError(f"dataset: {where}: column {column!r} is not a list of objects")
    return value


def _schema(tool: Mapping[str, object]) -> Mapping[str, object]:
    """Return the tool in OpenAI's form. xLAM lists parameters by name, and says 'optional' within
    the type."""
    parameters = tool.get("parameters") or {}
    if not isinstance(parameters, Mapping) or "properties" in parameters:
        return {"type": "function", "function": dict(tool)}
    properties = {name: _property(spec) for name, spec in parameters.items()}
    required = [name for name, spec in parameters.items() if not _optional(spec)]
    schema = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {**tool, "parameters": schema}}


def _property(spec: object) -> Mapping[str, object]:
    if not isinstance(spec, Mapping):
        return {"type": "string"}
    written = str(spec.get("type", "str")).split(",")[0].strip()
    bare = written.split("[")[0].strip().lower()
    made: dict[str, object] = {"type": _TYPES.get(bare, "string")}
    made["description"] = str(spec.get("description", ""))
    if spec.get("default") not in (None, ""):
        made["default"] = spec["default"]
    return made


def _optional(spec: object) -> bool:
    return isinstance(spec, Mapping) and (
        "optional" in str(spec.get("type", "")).lower() or "default" in spec
    )
