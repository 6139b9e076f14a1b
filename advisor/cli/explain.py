"""`advise explain`: the page of one rule."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from advisor.cli.check import console
from advisor.errors import AdvisorError
from advisor.rulebook.load import load_full, load_rules, parse_rules
from advisor.rulebook.rule import Rule, Rulebook
from advisor.rulebook.symptoms import SYMPTOMS


def explain(
    word: Annotated[
        str, typer.Argument(metavar="CODE", help="A rule's code or name, or a symptom.")
    ],
    rules: Annotated[
        list[Path], typer.Option("--rules", metavar="FILE", help="Rules of your own.")
    ] = [],  # noqa: B006
) -> None:
    """Explain a rule: what is seen, what it means, what to do, when it holds, its examples.

    Example: advise explain LR004
    """
    own = Rulebook(tuple(parse_rules(rules, load_rules().codes))) if rules else Rulebook(())
    book = load_full()
    rule = own.find(word) or book.find(word)
    if rule is not None:
        _show(rule)
        return
    if word.lower() in SYMPTOMS:
        typer.echo(f"{word.lower()}: {SYMPTOMS[word.lower()]}")
        for each in (*own, *(r for r in book if r.code not in own.codes)):
            if each.symptom == word.lower():
                typer.echo(f"  {each.code} {each.name} ({each.severity})")
        return
    known = [text for each in book for text in (each.code, each.name)] + list(SYMPTOMS)
    near = get_close_matches(word.upper(), known, 2, 0.5)
    near = near or get_close_matches(word.lower(), known, 2, 0.5)
    hint = f"; nearest: {', '.join(near)}" if near else "; `advise rules` lists them"
    raise AdvisorError(f"{word}: no rule or symptom of that name{hint}")


def _show(rule: Rule) -> None:
    from advisor.report.page import rule_page

    page = rule_page(rule).split("\n", 2)[2]  # without the note that it is generated
    if not sys.stdout.isatty():
        typer.echo(page, nl=False)
        return
    from rich.markdown import Markdown

    console().print(Markdown(page))
