"""A user's own data set: only with the opt-in, in any of the row layouts."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from train.config.types import DatasetConfig, ModelConfig, TrainConfig
from train.data.batches import build_data
from train.errors import DataError, TrainConfigError

CODE = """
class Rows:
    def __init__(self, count, tokenizer=None):
        self.count, self.tokenizer = count, tokenizer
    def __len__(self):
        return self.count
    def __getitem__(self, at):
        return {"question": f"how many {at}?", "answer": "eight"}

def chats(count):
    for at in range(count):
        yield {"messages": [{"role": "user", "content": str(at)},
                            {"role": "assistant", "content": "yes"}]}

def tokens(tokenizer):
    ids = tokenizer("how many legs? eight")["input_ids"]
    return [{"input_ids": ids, "labels": [-100] * 3 + ids[3:]}]

def shifted(tokenizer):
    ids = tokenizer("how many legs? eight")["input_ids"]
    return [{"input_ids": ids, "labels": ids[1:] + [-100]}]

def other():
    return [{"text": "lazy dog"}]

def fails():
    raise ValueError("no such table")
"""


@pytest.fixture
def build(tmp_path, plain):
    path = tmp_path / "mine.py"
    path.write_text(CODE)

    def make(name, allowed=True, **options):
        data = DatasetConfig(kind="user", target=f"{path}:{name}", options=options)
        model = ModelConfig(pretrained_model_name_or_path="x")
        return build_data(TrainConfig(model=model, dataset=data, allow_user_modules=allowed), plain)

    return make


def test_without_the_opt_in_nothing_of_it_runs(build, tmp_path):
    with pytest.raises(TrainConfigError, match="--allow-user-modules"):
        build("Rows", allowed=False, count=3)


@pytest.mark.parametrize("name", ["Rows", "chats"])
def test_rows_by_column_or_chat_are_learnt(build, plain, name):
    data = build(name, count=5)
    assert data.facts.samples == 5
    learnt = {plain.decode(b.labels[b.labels >= 0].tolist()).strip() for b in data.train}
    assert learnt == {"eight</s>"} if name == "Rows" else {"yes<|im_end|>"}


def test_tokenised_rows_are_taken_as_they_are(build, plain):
    (batch,) = list(build("tokens").train)
    ids = plain("how many legs? eight")["input_ids"]
    assert batch.input_ids[0].tolist() == ids
    assert batch.supervised == len(ids) - 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shifted", "do not shift them"),
        ("other", "give column_mapping"),
        ("fails", "ValueError: no such table"),
    ],
)
def test_rows_that_cannot_be_used_are_one_clear_line(build, name, said):
    with pytest.raises(DataError, match=said):
        build(name)


def test_a_name_that_is_not_there_is_one_clear_line(build):
    with pytest.raises(TrainConfigError, match=r"cannot be loaded: .*'missing'"):
        build("missing")
