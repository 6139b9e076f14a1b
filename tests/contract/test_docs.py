"""The docs against the program: links lead somewhere, commands and options exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from advisor.cli import make_app
from advisor.cli.group import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "rules/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINE = re.compile(r"^(?:\$ )?(advise [a-z].*)$|`(advise [a-z][^`]*)`", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub names them."""
    heads = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            dead.append(target)
    assert dead == []


def test_every_page_of_docs_is_linked_from_the_readme() -> None:
    linked = set(_LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= linked


def test_the_readme_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"| `advise {name}" not in text] == []


def test_commands_and_options_in_the_docs_exist() -> None:
    group = typer.main.get_command(make_app())
    options = {
        name: {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }
    unknown = []
    for page in PAGES:
        for match in _LINE.finditer(page.read_text(encoding="utf-8")):
            words = (match[1] or match[2]).split()
            name = words[1] if words[1] in COMMANDS else "check"
            flags = {w.split("=")[0] for w in words if re.fullmatch(r"--[a-z-]+(=.*)?", w)}
            if name != "train":  # its options are the keys of its config
                unknown += [f"{page.name}: {name} {flag}" for flag in flags - options[name]]
    assert unknown == []
