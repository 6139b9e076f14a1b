"""Redaction: credentials go, what merely sounds like one stays."""

from __future__ import annotations

import pytest

from advisor.base.redact import HIDDEN, is_secret_key, redact_text, redact_value


@pytest.mark.parametrize(
    "name",
    [
        "hf_token",
        "hub_token",
        "token",
        "api_key",
        "apiKey",
        "WANDB_API_KEY",
        "wandb.api_key",
        "secret",
        "password",
        "aws_secret_access_key",
        "auth-token",
        "client_secret",
        "use_auth_token",
        "wandb_key",
    ],
)
def test_names_of_credentials_are_known(name: str) -> None:
    assert is_secret_key(name)


@pytest.mark.parametrize(
    "name",
    [
        "pad_token",
        "num_tokens",
        "key",
        "question_key",
        "tokenizer",
        "eos_token",
        "max_new_tokens",
        "bos_token_id",
        "monkey",
        "keyboard",
        "metric_for_best_model",
        "special_tokens",
        "text_key",
        "num_label_tokens",
    ],
)
def test_names_that_only_sound_alike_are_left(name: str) -> None:
    assert not is_secret_key(name)


@pytest.mark.parametrize(
    "text",
    [
        "hf_token: s3cr3t",
        "  api_key: 's3cr3t'  # mine",
        '    "hub_token": "s3cr3t",',
        "--hub_token s3cr3t",
        "-wandb: {api_key: s3cr3t, project: x}",
        "password = s3cr3t",
        "url: https://me:s3cr3t@host/x",
        "password: a,s3cr3t}b  # c",
        "private_key: |\n  -----BEGIN\n  s3cr3t\nlr: 1\n",
        "+  private_key: >-\n+    s3cr3t\n",
        "note: hf_s3cr3tabcdefghijklmnop",
    ],
)
def test_values_of_credentials_are_hidden_in_text(text: str) -> None:
    out = redact_text(text)
    assert "s3cr3t" not in out
    assert HIDDEN in out


@pytest.mark.parametrize(
    "text",
    [
        "pad_token: <pad>\nlr: 1e-4\nquestion_key: question\n",
        "hf_token: ${HF_TOKEN}\n",
        "hub_token: null\n",
        "use_auth_token: true\n",
        "column_mapping: {key: question, answer: a}\n",
    ],
)
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert redact_text(text) == text


def test_a_section_is_gone_through() -> None:
    value = {"wandb": {"key": "a" * 40, "project": "p"}, "n": [{"token": "x"}]}
    assert redact_value("", value) == {
        "wandb": {"key": HIDDEN, "project": "p"},
        "n": [{"token": HIDDEN}],
    }
