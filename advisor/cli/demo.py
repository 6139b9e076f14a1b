"""`advise demo`: diagnoses bundled runs, one healthy and four with faults, and fixes one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from advisor.base.paths import data_dir
from advisor.cli.check import Answer, console, show
from advisor.errors import AdvisorError
from advisor.findings import Report
from advisor.pipeline import Request, check_paths
from advisor.plan.apply import apply_edits
from advisor.report.text import written
from advisor.rulebook.load import load_rules

MENDED = "rate-too-high"


def demo(
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Where the runs go; must not exist."),
    ] = None,
    train: Annotated[
        bool,
        typer.Option(
            "--train",
            help="Train the bundled tiny model, take the advice, train again (2 minutes, torch).",
        ),
    ] = False,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Tune the tiny model's config from a rate far too low (3 minutes, torch).",
        ),
    ] = False,
) -> None:
    """Diagnose five small runs that come along, and write the config for the next one.

    Example: advise demo -o my-demo
    """
    if train or tune:
        place = _fresh(out)
        (_train if train else _tune)(place)
        typer.echo(f"\nThe runs are in {place}.")
        return
    place = _copy(out)
    folders = sorted(p for p in place.iterdir() if p.is_dir())
    reports, failures = check_paths(folders, load_rules(), Request())
    show(Answer(reports, failures), "text", False)
    sick = {Path(r.run.path).parent.name for r in reports if r.status in ("failing", "warning")}
    expected = {folder.name for folder in folders} - {"healthy"}
    if failures or sick != expected:
        raise AdvisorError(f"{place}: the demo's runs were not judged as they should be")
    _write_fix(next(r for r in reports if Path(r.run.path).parent.name == MENDED))
    typer.echo(
        f"\nThe runs are in {place}. Try:\n"
        f"  advise {place / 'healthy'} --verbose\n"
        f"  advise fix {place / 'overfits'}\n"
        f"  advise check {place} --format json\n"
        "  advise explain LR004"
    )


def _fresh(out: Path | None) -> Path:
    if out is not None and out.exists():
        raise AdvisorError(f"{out}: exists already; give a folder that does not with -o")
    return Path(tempfile.mkdtemp(prefix="advise-demo-")) if out is None else out


def _tune(place: Path) -> None:
    """Show the tuning loop with the command a user would type, from a hundredth of a good rate."""
    presets = data_dir("presets")
    start = {
        "model.pretrained_model_name_or_path": presets / "base",
        "dataset.path_or_dataset_id": presets / "instructions.jsonl",
        "validation_dataset.path_or_dataset_id": presets / "instructions.val.jsonl",
        "optimizer.lr": "4e-5",
        "step_scheduler.num_epochs": "5",
    }
    given = [word for key, value in start.items() for word in ("--set", f"{key}={value}")]
    config = presets / "base" / "demo.yaml"
    _run("tune", config, *given, "--runs", "3", "--tokens", "65000", "--keep", "best",
         "--session", place / "tuning")  # fmt: skip


def _train(place: Path) -> None:
    """Show the cycle with the commands a user would type: train, fix, train, compare."""
    presets = data_dir("presets")
    first, second, config = place / "first", place / "second", place / "next.yaml"
    paths = {
        "--model.pretrained_model_name_or_path": presets / "base",
        "--dataset.path_or_dataset_id": presets / "instructions.jsonl",
        "--validation_dataset.path_or_dataset_id": presets / "instructions.val.jsonl",
    }
    given = [str(word) for pair in paths.items() for word in pair]
    _run("train", presets / "base" / "demo.yaml", *given, "--run-dir", first)
    _run("check", first, "--exit-zero")
    _run("fix", first, "-o", config)
    _run("train", config, "--run-dir", second)
    _run("compare", first, second, "--exit-zero")


def _run(*words: str | Path) -> None:
    """Run one of our own commands as a process; exit if it fails."""
    command = [str(word) for word in words]
    typer.echo(f"\n$ advise {shlex.join(command)}")
    # So small a model is fastest on one thread; two threads on a busy core are far slower.
    env = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **os.environ}
    line = [sys.executable, "-P", "-m", "advisor", *command]
    done = subprocess.run(line, env=env, check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)


def _copy(out: Path | None) -> Path:
    if out is None:
        out = Path(tempfile.mkdtemp(prefix="advise-demo-")) / "runs"
    try:
        shutil.copytree(data_dir("presets") / "demo", out)
    except FileExistsError:
        raise AdvisorError(f"{out}: exists already; give a folder that does not with -o") from None
    except OSError as error:
        raise AdvisorError(f"{out}: cannot be written ({error.strerror})") from None
    return out


def _write_fix(report: Report) -> None:
    """Do what `advise fix` does, so that the demo ends with a config to train from."""
    config = report.run.config
    screen = console()
    screen.print(f"\n$ advise fix {Path(report.run.path).parent}", style="bold", markup=False)
    outcome = apply_edits(Path(str(config.path)), report.plan, config)
    screen.print(written(outcome))
