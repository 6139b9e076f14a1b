"""No planted secret in anything that a command prints or keeps beside the user's own config."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.cli.program import advise

HUB = "Zq7xVm4NwK2tR9bL0pY3sD8hJ6gFc1"
HOOK = "aB3dE5gH7jK9mN1pQ2rS4tU6"
BEARER = "Xy12Zw34Vu56Ts78Rq90Po12Nm34"
PASSED = "hunter2horse"
WANDB = "9f8e7d6c5b4a39281706f5e4d3c2b1a098765432"
SECRETS = (HUB, HOOK, BEARER, PASSED, WANDB)

CONFIG = f"""\
output_dir: out
learning_rate: 0.02
per_device_train_batch_size: 4
num_train_epochs: 3
logging_steps: 1
report_to: [wandb]
push_to_hub: true
hub_token: {HUB}
wandb_api_key: {WANDB}
callback_url: https://hooks.slack.com/services/T000/B000/{HOOK}
"""
ENVIRONMENT = f"""\
HF_TOKEN={HUB}
$ wandb login {WANDB}
environ({{'WANDB_API_KEY': '{WANDB}', 'DB_PASSWORD': '{PASSED}', 'HOME': '/root'}})
train --hub_token {HUB} --learning_rate 0.02
> GET /api/models HTTP/1.1
> Authorization: Bearer {BEARER}
"""
CRASH = f"""\
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    push(url)
requests.exceptions.HTTPError: 401 Client Error for url: https://me:{PASSED}@hub/x?token={HUB} \
with headers {{"Authorization": "Bearer {BEARER}"}}
"""


def losses(start: float, step: float) -> str:
    return "".join(
        f"{{'loss': {max(start + step * n, 0.2):.4f}, 'learning_rate': 0.02, 'epoch': {n / 20}}}\n"
        for n in range(60)
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "train.log").write_text(ENVIRONMENT + losses(2.0, 0.08) + CRASH)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.yaml").write_text(CONFIG.replace(HUB, HUB[::-1]).replace("0.02", "0.001"))
    (other / "train.log").write_text(ENVIRONMENT + losses(2.0, -0.02))
    return folder


def shown(text: str) -> list[str]:
    return [secret for secret in (*SECRETS, HUB[::-1]) if secret in text]


WORDS = [
    ["check", "RUN"],
    ["check", "RUN", "--verbose"],
    ["check", "RUN", "--format", "json"],
    ["check", "RUN", "--format", "github"],
    ["check", "RUN", "--write-baseline", "FILE"],
    ["check", "RUN", "--config", "RUN/config.yaml", "--set", f"hub_token={HUB}"],
    ["fix", "RUN", "--diff"],
    ["fix", "RUN", "-o", "COPY"],
    ["check", "RUN", "--fix", "--unsafe-fixes", "-o", "COPY"],
    ["compare", "RUN", "OTHER"],
    ["compare", "RUN", "OTHER", "--format", "json"],
    ["report", "RUN", "--html", "FILE"],
    ["report", "RUN", "--json"],
    ["watch", "RUN", "--once"],
    ["watch", "RUN", "--once", "--json"],
    ["watch", "RUN", "--idle", "0.1", "--interval", "0.05"],
    ["preflight", "RUN/config.yaml"],
    ["tune", "RUN/config.yaml", "--dry-run", "--command", f"true {{config}} --hub_token {HUB}"],
    ["rules", "--rules", "RUN/config.yaml"],
    ["check", "RUN", "--baseline", "RUN/config.yaml"],
    ["check", "RUN", "--map", f"train/loss=https://me:{PASSED}@x"],
]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: " ".join(words)[:50])
def test_no_command_tells_a_secret(words: list[str], run: Path, tmp_path: Path) -> None:
    file = tmp_path / "written"
    places = {"RUN": str(run), "OTHER": str(tmp_path / "other"), "FILE": str(file),
              "COPY": str(tmp_path / "copy.yaml")}  # fmt: skip
    filled = [
        word if word not in places and "/" not in word else
        places.get(word) or word.replace("RUN/", f"{run}/", 1)
        for word in words
    ]  # fmt: skip
    done = advise(*filled, cwd=tmp_path, env={"HF_TOKEN": HUB})
    assert shown(done.stdout + done.stderr) == []
    assert done.stdout + done.stderr
    if file.exists():
        assert shown(file.read_text()) == []


TRAINER = """\
import json, os, sys
config, out = sys.argv[1:3]
text = open(config).read()
assert os.environ["WANTED"] in text and os.environ["WANTED"] in sys.argv, text
rate = float(next(l for l in text.splitlines() if "learning_rate" in l).split(":")[1])
os.makedirs(out, exist_ok=True)
with open(out + "/log.jsonl", "w") as file:
    for n in range(40):
        row = {"step": n, "loss": 2 - 0.02 * n, "learning_rate": rate}
        if n % 5 == 4:
            row["eval_loss"] = 2 - 0.02 * n + abs(rate - 1e-3)
        file.write(json.dumps(row) + "\\n")
"""


@pytest.mark.skipif(os.name != "posix", reason="tune needs process groups")
def test_a_session_keeps_no_secret_and_still_trains_with_it(run: Path, tmp_path: Path) -> None:
    trainer = tmp_path / "trainer.py"
    trainer.write_text(TRAINER)
    config = run / "config.yaml"
    config.chmod(0o600)
    command = f"{sys.executable} {trainer} {{config}} {{run_dir}} --hub_token {HUB}"
    session = tmp_path / "session"
    words = ["tune", config, "--runs", "2", "--session", session, "--command", command]
    done = advise(*words, "--json", cwd=tmp_path, env={"WANTED": HUB})
    assert done.returncode == 0, done.stderr
    assert shown(done.stdout + done.stderr) == []
    json.loads(done.stdout)
    report = advise("report", session, "--json", "--html", tmp_path / "page.html", cwd=tmp_path)
    assert shown(report.stdout + report.stderr + (tmp_path / "page.html").read_text()) == []
    kept = [path for path in session.rglob("*") if path.is_file() and path.name != "best.yaml"]
    assert any(path.name == "job.json" for path in kept)
    for path in kept:
        assert shown(path.read_bytes().decode("utf-8", "replace")) == [], path
    best = session / "best.yaml"  # the user's own config, to train with
    assert HUB in best.read_text()
    assert best.stat().st_mode & 0o777 == 0o600
    again = advise("tune", "--session", session, "--resume", cwd=tmp_path, env={"WANTED": HUB})
    assert again.returncode == 2 and "--command" in again.stderr
    assert shown(again.stderr) == []
    with_it = ["tune", "--session", session, "--resume", "--command", command, "--runs", "3"]
    again = advise(*with_it, cwd=tmp_path, env={"WANTED": HUB})
    assert again.returncode == 0, again.stderr
    config.write_text(CONFIG.replace(f"hub_token: {HUB}\n", ""))
    again = advise(*with_it, cwd=tmp_path, env={"WANTED": HUB})
    assert again.returncode == 2 and "secrets" in again.stderr
