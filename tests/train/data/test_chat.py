"""Chats: the assistant's turns are learnt to the letter, and nothing else is."""

import copy

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.train.data import templates
from train.data.chat import samples_of_chats
from train.data.encode import Encoder
from train.data.messages import Chat, chat_of
from train.data.template import Template, ensure_template
from train.errors import DataError

THREE = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Hello there."},
    {"role": "user", "content": "yes or no?"},
    {"role": "assistant", "content": "no,\nof course"},
    {"role": "user", "content": "Paris?"},
    {"role": "assistant", "content": "Paris."},
]
TOOL = {"name": "find", "description": "d", "parameters": {"type": "object", "properties": {}}}
CALLED = [
    {"role": "user", "content": "Find Paris."},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "call_0", "type": "function",
             "function": {"name": "find", "arguments": '{"city": "Paris"}'}}
        ],
    },
    {"role": "tool", "content": "lazy dog", "tool_call_id": "call_0"},
    {"role": "assistant", "content": "A lazy dog."},
]  # fmt: skip


def made(tokenizer, template, row):
    """The sample of one row, and the runs of learnt text."""
    own = copy.deepcopy(tokenizer)
    own.chat_template = template
    encoder = Encoder(own)
    ensure_template(own, bool(encoder.prefix))
    (sample,), lost = samples_of_chats([chat_of(row, "row 0")], Template(own), encoder)
    runs, run = [], []
    for token, label in zip(sample.input_ids, sample.labels, strict=True):
        assert label in (-100, token)
        if label >= 0:
            run.append(token)
        elif run:
            runs, run = [*runs, own.decode(run)], []
    return own.decode(sample.input_ids), [*runs, *([own.decode(run)] if run else [])], lost


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (None, "<|im_end|>"),
        (templates.CHATML, "<|im_end|>"),
        (templates.STRICT, "<|im_end|>"),
        (templates.MARKED, "<|im_end|>"),
        (templates.OPENS_THOUGHTS, "</s>"),
    ],
)
def test_all_three_turns_are_learnt_with_their_end_marks(plain, template, end):
    text, runs, lost = made(plain, template, {"messages": THREE})
    assert runs == [f"Hello there.{end}", f"no,\nof course{end}", f"Paris.{end}"]
    assert "Be brief." in text and lost == 0


def test_the_last_turns_thoughts_are_learnt_where_the_template_forgets_the_others(plain):
    chat = [dict(m) for m in THREE]
    chat[2]["content"] = "<think>\nhm\n</think>\n\nHello there."
    chat[6]["content"] = "<think>\noh\n</think>\n\nParis."
    text, runs, lost = made(plain, templates.FORGETS_THOUGHTS, {"messages": chat})
    assert "hm" not in text and lost == 0
    assert runs == [
        "Hello there.<|im_end|>",
        "no,\nof course<|im_end|>",
        "<think>\noh\n</think>\n\nParis.<|im_end|>",
    ]


def test_share_gpt_roles_and_columns_give_the_same_sample(plain):
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    turns = [{"from": names[m["role"]], "value": m["content"]} for m in THREE]
    expected = made(plain, templates.CHATML, {"messages": THREE})
    assert made(plain, templates.CHATML, {"conversations": turns}) == expected


def test_a_system_column_stands_before_the_turns(plain):
    row = {"messages": THREE[1:], "system": "Be brief."}
    assert made(plain, templates.CHATML, row) == made(plain, templates.CHATML, {"messages": THREE})


def test_tool_calls_are_learnt_and_results_are_not(plain):
    row = {"messages": CALLED, "tools": [TOOL]}
    text, runs, lost = made(plain, templates.CHATML, row)
    call = '<call>{"name": "find", "arguments": {"city": "Paris"}}</call><|im_end|>'
    assert runs == [call, "A lazy dog.<|im_end|>"]
    assert '"description": "d"' in text and lost == 0


@pytest.mark.parametrize("template", [None, templates.STRICT, templates.NO_END])
def test_a_template_without_tools_gets_them_as_text(plain, template):
    text, runs, lost = made(plain, template, {"messages": CALLED, "tools": [TOOL]})
    assert '{"name": "find", "description": "d"' in text and "lazy dog" in text
    assert '<tool_call>\n{"name": "find", "arguments": {"city": "Paris"}}' in runs[0]
    assert runs[1].startswith("A lazy dog.") and lost == 0
    assert not any("tool_response" in run for run in runs)


def test_ids_are_renamed_where_a_template_wants_nine_letters(plain):
    _, runs, _ = made(plain, templates.TOOLS_LATE, {"messages": CALLED, "tools": [TOOL]})
    assert runs[0].endswith('{"name": "find", "arguments": {"city": "Paris"}}</s>')


def test_a_turn_that_cannot_be_found_is_counted_and_not_learnt(plain):
    later = [*THREE[1:3], *THREE[3:5]]
    text, runs, lost = made(plain, templates.TOOLS_LATE, {"messages": later, "tools": [TOOL]})
    assert "[TOOLS]" in text
    assert runs == [" no,\nof course</s>"] and lost == 1


def test_a_template_without_an_end_mark_gets_the_end_of_text_after_the_last_turn(plain):
    _, runs, _ = made(plain, templates.NO_END, {"messages": THREE[1:]})
    assert runs[-1].startswith("Paris.") and runs[-1].endswith("</s>")


def test_the_next_turns_mark_ends_a_turn_that_has_none_of_its_own(plain):
    _, runs, lost = made(plain, templates.NEXT_ROLE_ENDS, {"messages": THREE[1:5]})
    assert lost == 1  # the first turn, whose end cannot be told once later ones follow
    assert runs == ["</think>\nno,\nof course</s>"]
    _, runs, _ = made(plain, templates.NO_END.replace("{{ m.role }}", "</s>{{ m.role }}"),
                      {"messages": THREE[1:5]})  # fmt: skip
    assert [run.replace("\n", "") for run in runs] == ["Hello there.</s>", "no,of course</s>"]


def test_a_tokenizer_without_an_end_of_text_is_still_taught_to_stop(plain):
    own = copy.deepcopy(plain)
    own.eos_token = None
    _, runs, _ = made(own, None, {"messages": THREE})
    assert runs[-1] == "Paris.<|im_end|>"


def test_bos_stands_once_where_the_tokenizer_adds_it_and_our_template_is_used(with_bos):
    text, _, _ = made(with_bos, None, {"messages": THREE})
    assert text.startswith("<s>") and text.count("<s>") == 1


def test_a_template_that_writes_bos_is_not_given_a_second(with_bos):
    text, _, _ = made(with_bos, templates.STRICT, {"messages": THREE})
    assert text.count("<s>") == 1


def test_a_tokenizer_that_writes_blanks_learns_the_same_text(blank_first):
    _, runs, lost = made(blank_first, templates.TOOLS_LATE, {"messages": THREE[1:5]})
    assert [run.strip() for run in runs] == ["Hello there.</s>", "no,\nof course</s>"]
    assert lost == 0


def test_an_assistant_who_speaks_first_is_learnt(plain):
    _, runs, lost = made(plain, templates.CHATML, {"messages": THREE[2:5]})
    assert runs == ["Hello there.<|im_end|>", "no,\nof course<|im_end|>"] and lost == 0


def test_an_empty_answer_is_not_learnt(plain):
    chat = [*THREE[1:3], THREE[3], {"role": "assistant", "content": ""}]
    _, runs, lost = made(plain, templates.CHATML, {"messages": chat})
    assert runs == ["Hello there.<|im_end|>"] and lost == 0


def test_a_chat_that_the_template_refuses_is_one_clear_line(plain):
    with pytest.raises(DataError, match="must alternate"):
        made(plain, templates.STRICT, {"messages": [THREE[1], THREE[1]]})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "x"}, "no column 'messages' or 'conversations'; it has text"),
        ({"messages": [{"content": "x"}]}, "a message has no 'role'"),
        ({"messages": "x"}, "messages: not JSON"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "is not text"),
    ],
)
def test_a_row_that_is_no_chat_is_one_clear_line(row, said):
    with pytest.raises(DataError, match=said):
        chat_of(row, "row 3")


def test_nulls_that_a_table_filled_in_are_left_out():
    row = {"messages": CALLED, "tools": [{**TOOL, "strict": None}]}
    assert "strict" not in str(chat_of(row, "row 0").tools)


def test_chats_of_many_rows_keep_their_order(plain):
    own = copy.deepcopy(plain)
    own.chat_template = templates.CHATML
    chats = [chat_of({"messages": THREE[1 : 3 + 2 * (i % 3)]}, "row") for i in range(7)]
    chats[3] = Chat(chats[3].messages, [{"type": "function", "function": TOOL}])
    samples, lost = samples_of_chats(chats, Template(own), Encoder(own))
    alone = [samples_of_chats([c], Template(own), Encoder(own))[0][0] for c in chats]
    assert samples == alone and lost == 0
