"""Prompt and answer: what is supervised, token by token."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from train.config.types import DatasetConfig
from train.data.columns import check_columns, columns_of, samples_of_pairs
from train.data.encode import Encoder
from train.data.types import IGNORE
from train.errors import DataError

PAIRS = [
    ("What is the capital of France?", "Paris."),
    ("a b", "c"),
    ("Question:\nhow many?\n", "eight"),
    ("Answer: ", "yes"),
    ("x", " no"),
    ("héé 😀", "naïve 😀 ok"),
    ("same same same", "same same"),
]
JOINED = [
    "What is the capital of France? Paris.",
    "a b c",
    "Question:\nhow many?\neight",
    "Answer: yes",
    "x no",
    "héé 😀 naïve 😀 ok",
    "same same same same same",
]


def learnt(sample):
    return [
        token for token, label in zip(sample.input_ids, sample.labels, strict=True) if label >= 0
    ]


@pytest.mark.parametrize(("pair", "text"), list(zip(PAIRS, JOINED, strict=True)))
def test_the_whole_text_and_only_the_answer_with_its_end_is_learnt(plain, pair, text):
    (sample,) = samples_of_pairs([pair], Encoder(plain))
    assert plain.decode(sample.input_ids) == text + "</s>"
    assert plain.decode(learnt(sample)).strip() == pair[1].strip() + "</s>"


def test_labels_are_the_ids_behind_the_border_and_nothing_before(plain):
    (sample,) = samples_of_pairs([("a b", "yes no")], Encoder(plain))
    answer = plain(" yes no")["input_ids"]
    prompt = plain("a b")["input_ids"]
    assert sample.input_ids == [*prompt, *answer, plain.eos_token_id]
    assert sample.labels == [IGNORE] * len(prompt) + [*answer, plain.eos_token_id]


def test_a_merge_across_the_border_does_not_move_it(plain):
    glued = plain("lazyyes")["input_ids"]
    encoder = Encoder(plain)
    for answer in ("yes", "y", "yes no"):
        prompt, piece = encoder.pieces([["over the la", "zy " + answer]])[0]
        assert prompt == plain("over the la")["input_ids"]
        assert plain.decode(prompt + piece) == "over the lazy " + answer
    assert glued


def test_bos_comes_once_where_the_tokenizer_adds_it(with_bos, plain):
    texts = [("a b", "c"), ("<s>a b", "c")]
    for sample in samples_of_pairs(texts, Encoder(with_bos)):
        assert sample.input_ids.count(with_bos.bos_token_id) == 1
        assert sample.input_ids[0] == with_bos.bos_token_id
        assert sample.labels[0] == IGNORE
    (sample,) = samples_of_pairs(texts[:1], Encoder(plain))
    assert plain.bos_token_id not in sample.input_ids


def test_an_end_that_the_answer_brings_is_not_doubled(plain):
    (sample,) = samples_of_pairs([("a", "b</s>")], Encoder(plain))
    assert sample.input_ids.count(plain.eos_token_id) == 1


def test_the_end_is_learnt_where_padding_has_the_same_id(end_pads):
    tokenizer = end_pads
    (sample,) = samples_of_pairs([("a", "b")], Encoder(tokenizer))
    assert sample.labels[-1] == tokenizer.eos_token_id == tokenizer.pad_token_id


def test_all_tokens_are_learnt_when_the_mask_is_off(plain):
    (sample,) = samples_of_pairs([("a b", "c")], Encoder(plain), answer_only=False)
    assert sample.labels == sample.input_ids


def test_an_empty_answer_gives_no_sample(plain):
    assert samples_of_pairs([("a", ""), ("a", " \n")], Encoder(plain)) == [None, None]


@pytest.mark.parametrize(("prompt", "answer"), [("lazy dog", "yes no"), ("dog\n", "eight legs")])
def test_a_tokenizer_that_writes_a_blank_gets_the_tokens_of_the_joined_text(
    blank_first, prompt, answer
):
    (sample,) = samples_of_pairs([(prompt, answer)], Encoder(blank_first))
    glue = "" if prompt.endswith("\n") else " "
    joined = blank_first(prompt + glue + answer)["input_ids"]
    assert sample.input_ids == [*joined, blank_first.eos_token_id]
    assert blank_first.decode(learnt(sample)).strip() == answer + "</s>"


@pytest.mark.parametrize(
    ("head", "tail"), [("assis", "tant"), ("Hel", "lo there"), ("The", " fox")]
)
def test_a_token_across_the_border_is_cut_for_such_a_tokenizer(blank_first, head, tail):
    whole = blank_first.convert_ids_to_tokens(_ids(blank_first, head + tail))
    pieces = Encoder(blank_first).pieces([(head, tail)])[0]
    first, second = (blank_first.convert_ids_to_tokens(piece) for piece in pieces)
    assert "".join(first) == "\u2581" + head
    assert "".join(second) == tail.replace(" ", "\u2581")
    assert "".join(whole) == "".join([*first, *second])


def _ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_tokenizer_written_in_python_gives_the_same_borders():
    tokenizer = pytest.importorskip("transformers").ByT5Tokenizer()
    assert not tokenizer.is_fast
    (sample,) = samples_of_pairs([("a b", "yes")], Encoder(tokenizer))
    assert tokenizer.decode(learnt(sample)) == " yes</s>"
    assert sample.input_ids.count(tokenizer.eos_token_id) == 1


def config(**mapping):
    return DatasetConfig(kind="columns", source="x.jsonl", column_mapping=mapping)


def test_context_comes_before_the_question_with_a_blank_between():
    columns = columns_of(config(question="q", context="c", answer="a"))
    assert columns.prompt_of({"q": "why?", "c": "Look."}, "row 0") == "Look. why?"
    assert columns.prompt_of({"q": "why?", "c": ""}, "row 0") == "why?"
    assert columns.prompt_of({"q": "why?", "c": None}, "row 0") == "why?"


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"question": "q"}, "'answer' is missing"),
        ({"answer": "a"}, "context, question or both"),
        ({"question": "q", "answer": "a", "reply": "b"}, "'reply' is not a field"),
    ],
)
def test_a_wrong_mapping_is_one_clear_line(mapping, said):
    with pytest.raises(DataError, match=said):
        columns_of(config(**mapping))


def test_a_column_that_no_row_has_is_named_with_those_that_there_are():
    columns = columns_of(config(question="q", answer="reply"))
    with pytest.raises(DataError, match=r"no column 'reply'; it has a, q"):
        check_columns(columns, [{"q": "x", "a": "y"}], "data.jsonl")


def test_a_cell_that_is_no_text_is_named():
    columns = columns_of(config(question="q", answer="a"))
    with pytest.raises(DataError, match=r"row 7: column 'a' holds a list"):
        columns.answer_of({"a": ["x"]}, "row 7")
    assert columns.answer_of({"a": 12}, "row 7") == "12"


def test_half_a_character_is_trained_as_the_mark_for_what_is_missing(plain):
    samples = [
        samples_of_pairs([("why?", f"cut off {half}")], Encoder(plain), True)[0]
        for half in ("\ud83d", "\ufffd")
    ]
    assert samples[0] == samples[1]
