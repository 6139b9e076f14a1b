"""Redaction by property: secrets of every form go, numbers of every form stay, in linear time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.base.redact import HIDDEN, is_secret_key, redact_text, redact_value, restore

WORDS = ("Zq7xV", "m4NwK2", "tR9bL0", "pY3sD8", "hJ6gFc")
SECRET = "".join(WORDS)  # 28 letters and digits
HEX = "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432"
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.mark.parametrize(
    "text",
    [
        # headers
        f"Authorization: Bearer {SECRET}",
        f"authorization: Basic {SECRET}==",
        f'curl -H "Authorization: Bearer {SECRET}" https://x',
        f"{{'Authorization': 'Bearer {SECRET}'}}",
        f"sent bearer {SECRET} to the hub",
        f"X-Api-Key: {SECRET}",
        f"PRIVATE-TOKEN: {SECRET}",
        f"Cookie: session={SECRET}; theme=dark",
        "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVPmB92K27u from it",
        "NEPTUNE eyJhcGlfYWRkcmVzcyI6Imh0dHBzOi8vYXBwLm5lcHR1bmUuYWkifQ==",
        # URLs
        f"https://me:{SECRET}@host/x",
        f"https://{SECRET}@github.com/me/x",
        f"redis://:{SECRET}@host:6379/0",
        f"https://b.s3.amazonaws.com/x?X-Amz-Expires=600&X-Amz-Signature={HEX}&a=1",
        f"https://b.blob.core.windows.net/x?sv=2021&sig={SECRET}%3D&se=2030",
        f"https://h/x?lr=3&token={SECRET}",
        f'{{"url": "https://h/x?a=1\\u0026access_token={SECRET}"}}',
        f"https://hooks.slack.com/services/T00000000/B00000000/{SECRET}",
        f"https://discord.com/api/webhooks/1234567890/{SECRET}",
        f"https://api.telegram.org/bot123456789:AA{SECRET}ZZZZZ/send",
        # command lines
        f"wandb login {HEX}",
        f"wandb login --relogin {HEX}",
        f"wandb.login(key='{HEX}')",
        f'wandb.login("{HEX}")',
        f"huggingface-cli login --token {SECRET}",
        f"train --hub_token {SECRET} --lr 3",
        f"train --hub-token={SECRET}",
        f"train --hub_token \\\n    {SECRET} --lr 3",
        f"['train', '--hub_token', '{SECRET}', '--lr', '3']",
        f"HF_TOKEN={SECRET} python train.py",
        f"docker run -e WANDB_API_KEY={SECRET} image",
        f"export HF_TOKEN='{SECRET}'",
        # environments
        f'declare -x AWS_SECRET_ACCESS_KEY="{SECRET}"',
        f"AWS_SESSION_TOKEN={SECRET}",
        f"environ({{'HF_TOKEN': '{SECRET}', 'PATH': '/bin'}})",
        f"[('HF_TOKEN', '{SECRET}'), ('PATH', '/bin')]",
        f'os.environ["WANDB_API_KEY"] = "{SECRET}"',
        f'os.environ.setdefault("HF_TOKEN", "{SECRET}")',
        f"OPENAI_API_KEY_2={SECRET}",
        # escaped JSON
        json.dumps(json.dumps({"api_key": SECRET, "lr": 3})),
        json.dumps(json.dumps(json.dumps({"api_key": SECRET}))),
        # below its key
        f"api_key:\n  {SECRET}",
        f'"api_key":\n  "{SECRET}",\n"lr": 3',
        f"hub_token:\n  desc: null\n  value: {SECRET}\nlr:\n  value: 3",
        f"api_keys:\n- {SECRET}\n- other1\nlr: 3",
        f'"api_keys": [\n  "{SECRET}"\n],\n"lr": 3',
        f"Paste your API key:\n{SECRET}",
        f"credentials:\n  user: me\n  value: {SECRET}\nlr: 3",
        f"secret: >-\n    {SECRET}\n    more\nlr: 3",
        # blocks
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n{SECRET}",
        f'"pem": "-----BEGIN PRIVATE KEY-----\\n{SECRET}\\n-----END PRIVATE KEY-----"',
        # names
        f"HFToken: {SECRET}",
        f"hfToken={SECRET}",
        f"AccountKey={SECRET};EndpointSuffix=core",
        f"password: correct {SECRET} staple",
        f"{{password: correct {SECRET}, lr: 3}}",
        f"access_tokens: [{SECRET}, b]",
        f"wandb: {{key: {HEX}}}",
        f"token: {SECRET}, lr: 3",
        f"-  hub_token: {SECRET}\n+  hub_token: {SECRET}",
        f"bad value 'hub_token': '{SECRET}' of config",
    ],
)
def test_a_secret_goes_whatever_its_form(text: str) -> None:
    out = redact_text(text)
    assert not any(word in out for word in WORDS)
    assert HEX not in out
    assert HIDDEN in out
    assert redact_text(out) == out


_TAIL = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1cC3"


@pytest.mark.parametrize(
    "key",
    [
        f"hf_{_TAIL}", f"sk-{_TAIL}", f"sk-proj-{_TAIL}", f"sk-ant-api03-{_TAIL}",
        f"ghp_{_TAIL}", f"gho_{_TAIL}", f"github_pat_{_TAIL}", f"glpat-{_TAIL[:20]}",
        f"nvapi-{_TAIL}", f"AIzaSy{_TAIL[:33]}", f"npm_{_TAIL}", f"pypi-AgEIcHlwaS5vcmc{_TAIL}",
        f"r8_{_TAIL}", "xoxb-123456789012-abcdefABCDEF", "xapp-1-A012345-6789-abcdef",
        "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", f"dapi{HEX[:32]}", f"gsk_{_TAIL}",
        f"wandb_v1_{_TAIL}", f"ya29.{_TAIL}", f"hvs.{_TAIL}", f"dckr_pat_{_TAIL}",
        f"sk_live_{_TAIL}", f"SG.{_TAIL[:22]}.{_TAIL}", f"LTAI{_TAIL[:16]}",
        f"123456789:AA{_TAIL[:33]}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "say {} now", "'{}'", "x={}", "https://h/{}/x", "[{}]"])
def test_the_prefix_of_a_provider_is_enough(key: str, around: str) -> None:
    assert key not in redact_text(around.format(key))


@pytest.mark.parametrize(
    "text",
    [
        "{'loss': 1.25, 'num_tokens': 4.1e+04, 'mean_token_accuracy': 0.71, 'epoch': 0.3}",
        "step 3 | tokens_per_second_per_gpu:1200.5 grad_norm:0.31 | token: 4096 | tok/s 12k",
        "max_tokens: 4096, pad_token_id: 0, eos_token: '</s>', bos_token: <s>",
        '{"eos_token": {"content": "</s>", "lstrip": false}, "unk_token": "[UNK]"}',
        "ms/token: 12.5ms, loss per token: 2.1, token/s: 512 tok/s",
        "num_input_tokens_seen: 1,024,000",
        "ntokens: 3.5/4, loss: 1.2",
        "password: 12345678\napi_key: null\ntoken: false\nsecret:\nlr: 1e-4\n",
        "hub_token: <HUB_TOKEN>\npush_to_hub_token: ${HF_TOKEN}\napi_key: $KEY\nwandb_key: '***'",
        "def f(token: Optional[str] = None, api_key: str = ''):",
        "super().__init__(token=self.token, api_key=os.environ['X'], token=kwargs.pop('t'))",
        "git commit 9f8e7d6c5b4a39281706f5e4d3c2b1a098765432 of 2024-05-01",
        "id: 123e4567-e89b-12d3-a456-426614174000",
        "sk-learn-something-long-and-wordy, pypi-publish-action-workflow, hf_hub_download",
        "key: question, question_key: answer, metric_key_prefix: eval, key: some-model-7b-v1.5",
        "ssh://git@github.com/me/x and https://host:8080/x?step=300&lr=1e-4",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "tokenizers==0.19.1 SecretStorage==3.3.1 keyutils=1.6.1=h166bdaf_0 PWD=/root OLDPWD=/",
        "Login succeeded: run 20240501-123456-ab12cd is at step 300",
        "Token indices sequence length is longer than the maximum (1037 > 1024)",
        "bearer of 4096 tokens; key=value; login as root on node17",
    ],
)
def test_what_is_no_secret_stays_to_the_letter(text: str) -> None:
    assert redact_text(text) == text
    assert redact_value("", {"text": [text]}) == {"text": [text]}


NUMBERS = st.one_of(
    st.integers(-(10**12), 10**12).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.floats(1e-9, 1e9).map(lambda x: f"{x:.3g}"),
    st.integers(0, 10**9).map(lambda x: f"{x:,}"),
    st.sampled_from(["12k", "3.5M", "50%", "12ms", "0.3s", "512 tok/s", "16GiB", "4.1e+04"]),
)
NAMES = st.one_of(
    st.from_regex(r"[a-z]{1,8}([_./-][a-z]{1,8}){0,3}", fullmatch=True),
    st.sampled_from([
        "token", "tokens", "max_tokens", "pad_token_id", "tokens_per_second", "api_key", "key",
        "num_input_tokens_seen", "password", "secret", "hub_token", "HF_TOKEN", "authorization",
        "credentials", "loss", "train/loss", "auth", "cookie", "access_tokens",
    ]),
)  # fmt: skip
PAIRS = st.lists(st.tuples(NAMES, NUMBERS), min_size=1, max_size=6)
STYLES = [
    lambda pairs: ", ".join(f"{k}: {v}" for k, v in pairs),
    lambda pairs: " ".join(f"{k}={v}" for k, v in pairs),
    lambda pairs: " | ".join(f"{k} {v}" for k, v in pairs),
    lambda pairs: "\n".join(f"{k}: {v}" for k, v in pairs),
    lambda pairs: "\n".join(f"  {k} = {v}  # of it" for k, v in pairs),
    lambda pairs: "train " + " ".join(f"--{k} {v}" for k, v in pairs),
    lambda pairs: "{" + ", ".join(f"'{k}': {v}" for k, v in pairs) + "}",
    lambda pairs: "{" + ", ".join(f'"{k}": "{v}"' for k, v in pairs) + "}",
    lambda pairs: json.dumps(json.dumps(dict(pairs))),
    lambda pairs: "\n".join(f"{k}:\n  value: {v}" for k, v in pairs),
    lambda pairs: "\n".join(f"{k}:\n- {v}" for k, v in pairs),
    lambda pairs: "https://h/x?" + "&".join(f"{k}={v.replace(' ', '')}" for k, v in pairs),
]


@given(PAIRS, st.sampled_from(STYLES))
@settings(max_examples=150, deadline=None)
def test_numbers_are_never_hidden(pairs, style) -> None:
    text = style(pairs)
    assert redact_text(text) == text


SECRETS = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=6).filter(
    lambda word: any(c.isdigit() for c in word) and any(c.isalpha() for c in word)
    and not word[0].isdigit()
)  # fmt: skip
SECRET_NAMES = st.sampled_from(
    ["hub_token", "HF_TOKEN", "api_key", "wandb.api_key", "secret", "password", "authToken"]
)


@given(PAIRS, PAIRS, SECRET_NAMES, SECRETS, st.sampled_from(STYLES))
@settings(max_examples=150, deadline=None)
def test_a_secret_goes_and_the_numbers_around_it_stay(before, after, name, secret, style) -> None:
    names = {name for name, _ in before + after}
    if style is STYLES[2] or name in names:  # no mark before the value; one name for two values
        return
    out = redact_text(style([*before, (name, secret), *after]))
    assert out == style([*before, (name, HIDDEN), *after])
    assert redact_text(out) == out


TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), NUMBERS),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(NAMES, inner)),
    max_leaves=12,
)


@given(TREES)
@settings(max_examples=80, deadline=None)
def test_numbers_in_trees_are_never_hidden(tree) -> None:
    assert repr(redact_value("", tree)) == repr(tree)


@given(SECRETS, st.integers(0, 4))
def test_what_lies_below_a_secret_name_goes(secret: str, depth: int) -> None:
    tree: object = secret
    for _ in range(depth):
        tree = {"value": [tree]}
    assert secret not in repr(redact_value("", {"hub_token": tree, "lr": 1e-4}))


def test_the_words_of_a_command_go_in_pairs() -> None:
    words = ["train", "--hub_token", SECRET, "--lr", "3", f"--api_key={SECRET}"]
    assert redact_value("words", words) == [
        "train", "--hub_token", HIDDEN, "--lr", "3", f"--api_key={HIDDEN}",
    ]  # fmt: skip


def test_hidden_text_gets_its_secrets_back_from_the_original() -> None:
    original = f"lr: 1e-4\nhub_token: {SECRET}  # mine\nurl: https://a:{HEX}@h\n"
    shown = redact_text(original).replace("1e-4", "3e-5")
    assert SECRET not in shown and HEX not in shown
    assert restore(shown, original) == original.replace("1e-4", "3e-5")
    assert restore(shown, "lr: 1e-4\n") is None
    assert restore("lr: 1\n", "lr: 2\n") == "lr: 1\n"


SEEDS = [
    "a", "token: ", "token: [", "password: a ", "\\", '\\"', '"token\\":\\"', " ", "\n", "token:\n",
    " token:\n", "-----BEGIN PRIVATE KEY-----", "sk-", "eyJ", "eyJ.", "://a:", "bearer ",
    "wandb login --a-b", "login(", "?token=", "--token --", '("A", "', "1.", "key=", "{{", "<",
    "password: x y, ", "aB1-", "xoxb-1", "password: a\t", "token: |\n ", "SG.", "token: `",
]  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_time_grows_with_the_text_and_no_faster(seed: str) -> None:
    # the best of a few, for a busy machine; a square would be at least 16 times as long
    def seconds(size: int) -> float:
        text = "password: " + (seed * (size // len(seed) + 1))[:size]
        taken = []
        for _ in range(2):
            began = time.process_time()
            redact_text(text)
            taken.append(time.process_time() - began)
        return min(taken)

    assert seconds(400_000) < 10 * seconds(100_000) + 0.08


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared texts are not here")
@pytest.mark.parametrize("folder", ["logs", "field", "automodel-examples"])
def test_nothing_is_hidden_in_real_logs_and_configs(folder: str) -> None:
    hidden = []
    for path in sorted((SHARED / folder).rglob("*")):
        raw = path.read_bytes() if path.is_file() else b""
        if not raw or b"\0" in raw[:4096] or len(raw) > 4 << 20:
            continue
        text = raw.decode("utf-8", "replace")
        if redact_text(text) != text:
            hidden.append(str(path))
    assert hidden == []


@pytest.mark.parametrize("name", ["hf_tokens", "HFToken", "password2", "my_apikey", "db_pwd"])
def test_further_names_of_credentials(name: str) -> None:
    assert is_secret_key(name)


@pytest.mark.parametrize("name", ["PWD", "OLDPWD", "tokens", "total_tokens", "hotkey", "eot_token"])
def test_further_names_that_only_sound_alike(name: str) -> None:
    assert not is_secret_key(name)
