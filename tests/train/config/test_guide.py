"""The guide's YAML and command lines, and ours of the same kinds, are taken as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from train.config.command import parse
from train.config.device import fit_to_device
from train.config.load import check_tree, load_config, save_config
from train.config.nodes import Section
from train.config.reading import read_text

ROOT = Path(__file__).resolve().parents[3]
FIXTURES = ROOT / "tests" / "fixtures" / "train"
GUIDE = ROOT.parent / "shared" / "guide" / "hyperparameter-guide.md"
ALLOWED = {"NEMO_ENABLE_USER_MODULES": "1"}
FULL = (FIXTURES / "full.yaml").read_text()
needs_guide = pytest.mark.skipif(not GUIDE.exists(), reason="the guide is not in this checkout")


def guide_blocks() -> list[str]:
    text = GUIDE.read_text() if GUIDE.exists() else ""
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


def guide_commands() -> list[list[str]]:
    """What follows the script's path in each command line that trains."""
    text = GUIDE.read_text() if GUIDE.exists() else ""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "torchrun":
                found.append(words[next(i for i, w in enumerate(words) if w.endswith(".py")) + 1 :])
    return found


def fragments() -> list[str]:
    return (FIXTURES / "fragments.yaml").read_text().split("\n---\n")


def commands() -> list[str]:
    lines = (FIXTURES / "commands.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def laid_over(fragment: str) -> Section:
    root = read_text(FULL, "full.yaml")
    root.entries.update(read_text(fragment, "fragment.yaml").entries)
    return root


def holds_and_reads_again(root: Section) -> None:
    loaded = check_tree(root, ALLOWED)
    again = check_tree(read_text(loaded.text, "again.yaml"), ALLOWED)
    assert again.config == loaded.config and again.text == loaded.text


@pytest.mark.parametrize("fragment", fragments(), ids=lambda text: text.splitlines()[0][2:40])
def test_a_fragment_of_ours_resolves_over_a_base_and_reads_again(fragment: str) -> None:
    holds_and_reads_again(laid_over(fragment))


@needs_guide
@pytest.mark.parametrize("block", guide_blocks(), ids=lambda text: text.splitlines()[0][:40])
def test_a_block_of_the_guide_resolves_over_a_base_and_reads_again(block: str) -> None:
    holds_and_reads_again(laid_over(block))


@needs_guide
def test_the_guide_is_read_whole() -> None:
    assert len(guide_blocks()) == 23 and len(guide_commands()) == 11


def run(words: list[str], folder: Path) -> None:
    command = parse(words)
    assert command.config is not None
    loaded = load_config(folder / command.config.name, command.overrides, ALLOWED)
    for flag, value in zip(command.overrides[::2], command.overrides[1::2], strict=False):
        if flag == "--optimizer.lr":
            assert loaded.config.optimizer.lr == float(value)
    save_config(loaded, folder / "saved.yaml")
    assert load_config(folder / "saved.yaml", (), ALLOWED).config == loaded.config


@pytest.mark.parametrize("line", commands())
def test_a_command_line_of_ours_resolves(line: str, tmp_path: Path) -> None:
    (tmp_path / "full.yaml").write_text(FULL)
    run(shlex.split(line), tmp_path)


@needs_guide
@pytest.mark.parametrize("words", guide_commands(), ids=" ".join)
def test_a_command_line_of_the_guide_resolves(words: list[str], tmp_path: Path) -> None:
    for block in guide_blocks():
        named = re.match(r"# (\w+\.yaml)", block)
        name = named.group(1) if named else block.partition("\n")[0].removeprefix("# ").strip()
        if name.endswith(".yaml"):
            (tmp_path / name).write_text(block)
    run(words, tmp_path)


def test_without_a_gpu_nccl_is_gloo_and_that_is_said_once() -> None:
    loaded = check_tree(read_text(FULL, "full.yaml"), {})
    fitted = fit_to_device(loaded, has_gpu=False)
    assert fitted.config.distributed.backend == "gloo"
    assert len([n for n in fitted.notices if "gloo" in n]) == 1
    assert "nccl" in fitted.text
    assert fit_to_device(loaded, has_gpu=True) == loaded


def test_what_nobody_asked_for_needs_no_notice() -> None:
    root = read_text(FULL, "full.yaml")
    del root.entries["dist_env"]
    assert not fit_to_device(check_tree(root, {}), has_gpu=False).notices
