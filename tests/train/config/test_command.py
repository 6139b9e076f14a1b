"""The words of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.config.command import parse
from train.errors import TrainConfigError


@pytest.mark.parametrize("line", ["c.yaml", "--config c.yaml", "-c c.yaml", "--config=c.yaml"])
def test_the_config_may_be_given_in_four_ways(line: str) -> None:
    assert parse(line.split()).config == Path("c.yaml")


def test_overrides_are_kept_in_order_beside_our_flags() -> None:
    found = parse(
        [
            "--a.b",
            "1",
            "c.yaml",
            "--dry-run",
            "--x=2",
            "--run-dir",
            "out",
            "--bare",
            "--allow_user_modules",
        ]
    )
    assert found.overrides == ("--a.b", "1", "--x=2", "--bare")
    assert found.dry_run and found.allow_user_modules and found.run_dir == Path("out")
    assert found.config == Path("c.yaml")


@pytest.mark.parametrize(
    ("line", "resume", "config"),
    [
        ("c.yaml --resume", "latest", "c.yaml"), ("--resume c.yaml", "latest", "c.yaml"),
        ("--resume out/run-2", "out/run-2", None), ("c.yaml --resume=x --a 1", "x", "c.yaml"),
        ("--resume latest c.yaml", "latest", "c.yaml"),
        ("c.yaml --resume --a 1", "latest", "c.yaml"),
    ],
)  # fmt: skip
def test_resume_takes_a_run_or_means_the_newest(line: str, resume: str, config: str | None) -> None:
    found = parse(line.split())
    assert found.resume == resume and found.config == (Path(config) if config else None)


@pytest.mark.parametrize("line", ["a.yaml b.yaml", "--config", "--run-dir --x", "-x a.yaml"])
def test_what_is_no_command_is_one_line(line: str) -> None:
    with pytest.raises(TrainConfigError):
        parse(line.split())
