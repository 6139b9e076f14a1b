"""YAML to tree: safe, with lines, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from train.config.nodes import ConfigScalar, Items, Node, Section, plain, to_yaml
from train.config.reading import read_file, read_text
from train.errors import TrainConfigError


def values(text: str) -> object:
    return plain(read_text(text, "c.yaml"), {})


def test_scalars_are_cast_whether_quoted_or_not() -> None:
    assert values('a: 1e-8\nb: "1e-8"\nc: none\nd: ~\ne: yes\nf: "null"') == {
        "a": 1e-8, "b": 1e-8, "c": None, "d": None, "e": "yes", "f": "null",
    }  # fmt: skip


def test_a_key_given_twice_is_an_error_with_its_line() -> None:
    with pytest.raises(TrainConfigError, match=r"c.yaml:3: 'lr' is given twice"):
        values("optimizer:\n  lr: 1\n  lr: 2")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!mine", "!!python/name:x"])
def test_tags_that_could_run_code_are_refused(tag: str) -> None:
    with pytest.raises(TrainConfigError, match=r"c.yaml:1: the YAML tag"):
        values(f"a: {tag} [x]")


def test_anchors_and_merges_are_read() -> None:
    text = "base: &b {lr: 1, eps: 2}\noptimizer:\n  <<: *b\n  lr: 3"
    assert values(text) == {"base": {"lr": 1, "eps": 2}, "optimizer": {"lr": 3, "eps": 2}}


def test_aliases_that_multiply_end_in_one_line() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]
    with pytest.raises(TrainConfigError, match="nested too deep"):
        values("\n".join(lines))


@pytest.mark.parametrize("text", ["a: [1", "a: b: c", "\t- x", "a: 1\n---\nb: 2", "{a: *nope}"])
def test_what_is_no_yaml_is_an_error_with_a_line(text: str) -> None:
    with pytest.raises(TrainConfigError, match=r"c.yaml:\d+: not valid YAML"):
        values(text)


def test_a_list_at_the_top_is_no_config() -> None:
    with pytest.raises(TrainConfigError, match="a config is a mapping of sections"):
        values("- a\n- b")


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such config file"), (b"\xff\xfe\x00a", "not UTF-8"), (b"a" * 3_000_000, "bytes")],
)
def test_a_file_that_cannot_be_read_is_one_line(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    path = tmp_path / "c.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainConfigError, match=says):
        read_file(path)


# No letters that could spell the name of a credential, whose value is hidden.
TEXTS = st.text(
    st.sampled_from("ab01 -:#,.{}[]<>*&!|%@`'\"\\/$~=üß漢\u2028\U0001f600\n\t"), max_size=12
)
SCALARS = st.builds(
    lambda text, quoted: ConfigScalar(text, "", quoted), TEXTS, st.just(True)
) | st.builds(
    lambda text: ConfigScalar(text, ""),
    st.sampled_from(["1e-5", "null", "-2", "true", "x/y", "${V,1}"]),
)
NODES: st.SearchStrategy[Node] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: Items(items, ""))
        | st.dictionaries(TEXTS, inner, max_size=3).map(lambda entries: Section(entries, ""))
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), NODES, max_size=4))
def test_a_tree_written_and_read_is_the_same_tree(entries: dict[str, Node]) -> None:
    tree = Section(entries, "")
    again = read_text(to_yaml(tree), "again") if entries else tree
    assume("${" not in to_yaml(tree))  # a variable, which may be none
    assert plain(again, {}) == plain(tree, {})
    assert to_yaml(again) == to_yaml(tree)


def test_credentials_are_hidden_where_the_tree_is_written() -> None:
    text = to_yaml(read_text("wandb:\n  api_key: abc123\n  token_name: ${KEY}\n", "c"))
    assert "abc123" not in text and "${KEY}" in text


def test_all_below_the_name_of_a_credential_is_hidden() -> None:
    told = "hub_token: {value: abc123, more: [abc124, {x: abc125}], n: 7}\nopen: {value: abc126}\n"
    text = to_yaml(read_text(f"{told}deep:\n  wandb_api_key:\n    a:\n      b: abc127\n", "c"))
    assert [secret for secret in range(123, 128) if f"abc{secret}" in text] == [126]
