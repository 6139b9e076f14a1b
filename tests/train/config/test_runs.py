"""Config to run: the guide's files and command lines train a tiny model of ours."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from train.config.command import parse
from train.config.load import load_config

pytest.importorskip("torch")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "tests" / "fixtures" / "train"
GUIDE = ROOT.parent / "shared" / "guide" / "hyperparameter-guide.md"
# Two short steps, with every other setting as it stands.
SHORT = ["--step_scheduler.max_steps", "2", "--step_scheduler.global_batch_size", "4"]
SHORT += ["--step_scheduler.local_batch_size", "2"]
Train = Callable[..., subprocess.CompletedProcess[str]]


def localised(words: list[str], folder: Path, local: object) -> list[str]:
    """The words, with model and data replaced by local ones."""
    command = parse(words)
    config = load_config(
        folder / str(command.config), command.overrides, {"NEMO_ENABLE_USER_MODULES": "1"}
    )
    more = ["--model.pretrained_model_name_or_path", str(local.model)]  # type: ignore[attr-defined]
    for section in ("dataset", "validation_dataset"):
        tree = config.tree.get(section)
        if isinstance(tree, dict):
            more += local.overrides(str(tree.get("_target_", "")), section)  # type: ignore[attr-defined]
    return [*words, *more, *SHORT]


def trained(done: subprocess.CompletedProcess[str], folder: Path) -> list[dict[str, float]]:
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]


def base(folder: Path) -> None:
    (folder / "c.yaml").write_text((FIXTURES / "full.yaml").read_text())


def test_a_config_trains_and_its_folder_says_with_what(
    tmp_path: Path, train: Train, local: object
) -> None:
    base(tmp_path)
    words = localised(
        ["c.yaml", "--optimizer.lr", "2e-5", "--lr_scheduler", "null"], tmp_path, local
    )
    done = train(*words)
    rows = trained(done, tmp_path / "checkpoints")
    assert [row["step"] for row in rows] == [0, 1]
    saved = load_config(tmp_path / "checkpoints" / "config.yaml", (), {}).config
    assert saved.optimizer.lr == 2e-5 and saved.lr_scheduler is None
    assert done.stderr.count("gloo") == 1


def test_a_second_run_does_not_go_on_with_the_first(
    tmp_path: Path, train: Train, local: object
) -> None:
    base(tmp_path)
    words = localised(["c.yaml"], tmp_path, local)
    first = trained(train(*words), tmp_path / "checkpoints")
    again = trained(train(*words), tmp_path / "checkpoints" / "run-2")
    assert [r["loss"] for r in first] == [r["loss"] for r in again]


def test_a_run_goes_on_where_that_is_asked_for(tmp_path: Path, train: Train, local: object) -> None:
    base(tmp_path)
    words = localised(["c.yaml"], tmp_path, local)
    trained(train(*words), tmp_path / "checkpoints")
    done = train("--resume", "checkpoints", "--step_scheduler.max_steps", "4")
    assert "step_scheduler.max_steps was 2, now 4" in done.stderr
    rows = trained(done, tmp_path / "checkpoints")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]


def test_a_run_without_a_checkpoint_goes_on_from_its_beginning(
    tmp_path: Path, train: Train, local: object
) -> None:
    base(tmp_path)
    words = localised(["c.yaml"], tmp_path, local)
    expected = trained(train(*words), tmp_path / "checkpoints")
    for path in (tmp_path / "checkpoints").glob("epoch_*"):
        shutil.rmtree(path)
    for link in ("LATEST", "LOWEST_VAL"):
        (tmp_path / "checkpoints" / link).unlink()
    rows = trained(train("c.yaml", *words[1:], "--resume"), tmp_path / "checkpoints")
    assert [row["loss"] for row in rows] == 2 * [row["loss"] for row in expected]


def test_a_launch_trains_beside_files_with_our_names(
    tmp_path: Path, train: Train, local: object
) -> None:
    for name in ("train", "rules", "advisor", "data", "model"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not ours')\n")
    base(tmp_path)
    words = localised(["c.yaml"], tmp_path, local)
    trained(train(*words, PYTHONPATH="."), tmp_path / "checkpoints")


def test_one_process_under_torchrun_trains(tmp_path: Path, train: Train, local: object) -> None:
    base(tmp_path)
    words = localised(["c.yaml"], tmp_path, local)
    trained(train("--nproc-per-node=1", *words), tmp_path / "checkpoints")


def guide_files() -> dict[str, str]:
    """The guide's complete configs, under their names."""
    text = GUIDE.read_text() if GUIDE.exists() else ""
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return {m.group(1): block for block in blocks if (m := re.match(r"# (\w+\.yaml)", block))}


def guide_lines() -> list[str]:
    text = GUIDE.read_text() if GUIDE.exists() else ""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        lines = [line for line in block.replace("\\\n", " ").splitlines() if "torchrun" in line]
        found += [line.partition("finetune.py ")[2] for line in lines]
    return found


@pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not in this checkout")
@pytest.mark.parametrize("line", guide_lines())
def test_a_command_line_of_the_guide_trains(
    line: str, tmp_path: Path, train: Train, local: object
) -> None:
    for name, text in guide_files().items():
        (tmp_path / name).write_text(text)
    words = localised(shlex.split(line), tmp_path, local)
    done = train(*words, NEMO_ENABLE_USER_MODULES="1")
    folder = next(tmp_path.rglob("training.jsonl")).parent if done.returncode == 0 else tmp_path
    assert len(trained(done, folder)) == 2
    assert done.stderr.count("gloo") == 1
    triton = "use_triton" in line + (tmp_path / parse(words).config).read_text()  # type: ignore[operator]
    assert (done.stderr + done.stdout).count("use_triton") == int(triton)
