"""xLAM rows: parameters to a schema, answers to calls that are learnt."""

import copy
import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.train.data import templates
from train.data.chat import samples_of_chats
from train.data.encode import Encoder
from train.data.template import Template
from train.data.xlam import chat_of_xlam
from train.errors import DataError

PARAMETERS = {
    "city": {"description": "where", "type": "str"},
    "days": {"description": "how many", "type": "int, optional", "default": ""},
    "tags": {"description": "", "type": "List[str]", "default": ["a"]},
    "exact": {"type": "bool"},
}
ROW = {
    "query": "Weather in Paris?",
    "tools": json.dumps([{"name": "weather", "description": "d", "parameters": PARAMETERS}]),
    "answers": json.dumps(
        [
            {"name": "weather", "arguments": {"city": "Paris", "exact": True}},
            {"name": "weather", "arguments": {"city": "Rome", "exact": False}},
        ]
    ),
}


def test_parameters_become_a_schema():
    tools = chat_of_xlam(ROW, "row 0").tools
    function = tools[0]["function"]
    assert function["name"] == "weather"
    assert function["parameters"]["required"] == ["city", "exact"]
    properties = function["parameters"]["properties"]
    assert [p["type"] for p in properties.values()] == ["string", "integer", "array", "boolean"]
    assert properties["tags"]["default"] == ["a"] and "default" not in properties["days"]


def test_all_calls_are_learnt_and_neither_query_nor_tools(plain):
    own = copy.deepcopy(plain)
    own.chat_template = templates.CHATML
    (sample,), lost = samples_of_chats([chat_of_xlam(ROW, "row 0")], Template(own), Encoder(own))
    learnt = own.decode([t for t in sample.labels if t >= 0])
    calls = [json.loads(part.split("</call>")[0]) for part in learnt.split("<call>")[1:]]
    assert calls == json.loads(ROW["answers"]) and lost == 0
    assert learnt.endswith("<|im_end|>") and "Weather in" not in learnt


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tools": "[{"}, "column 'tools': not JSON"),
        ({"answers": '{"name": "weather"}'}, "'answers' is not a list of objects"),
    ],
)
def test_a_broken_row_is_one_clear_line(change, said):
    with pytest.raises(DataError, match=said):
        chat_of_xlam({**ROW, **change}, "row 4")


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="no column 'answers'"):
        chat_of_xlam({"query": "x", "tools": "[]"}, "row 4")
