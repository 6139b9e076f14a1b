"""`advise rules`: list all rules, ranges and defaults; test rule files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from advisor.cli.check import console, print_json
from advisor.errors import AdvisorError
from advisor.rulebook.load import find_rules, load_rules, parse_rules
from advisor.rulebook.rule import Rule, Rulebook

WIDE = 100  # columns from which the guide's rows are printed beside a rule


def rules(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES", help="More files for --test.")
    ] = [],  # noqa: B006
    *,
    output_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="text or json.")
    ] = "text",
    own: Annotated[
        list[Path], typer.Option("--rules", metavar="FILE", help="Rules of your own, listed too.")
    ] = [],  # noqa: B006
    test: Annotated[
        list[Path],
        typer.Option("--test", metavar="FILE", help="Run the cases inside rule files."),
    ] = [],  # noqa: B006
    keys: Annotated[bool, typer.Option("--keys", help="List the keys that --set knows.")] = False,
) -> None:
    """List the rules; with --test, run the cases written inside rule files.

    Example: advise rules --test my-rules/*.yaml
    """
    if output_format not in ("text", "json"):
        raise AdvisorError(f"--format {output_format}: give text or json")
    if files and not test:
        raise AdvisorError(f"files are for --test: advise rules --test {files[0]}")
    if test:
        _test([*test, *files])
    elif keys:
        _list_keys()
    elif output_format == "json":
        print_json(_as_json(load_rules(own)))
    else:
        _list(load_rules(own))


def _list(book: Rulebook) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("code", "name", "symptom", "severity"):
        table.add_column(name, no_wrap=True)
    screen = console()
    wide = screen.width >= WIDE
    if wide:
        table.add_column("guide", overflow="fold")
    for rule in book:
        state = f"needs {rule.waits_for}" if rule.waits_for else rule.severity
        rows = [", ".join(rule.guide)] if wide else []
        table.add_row(rule.code, rule.name, rule.symptom, state, *rows)
    screen.print(table)


def _as_json(book: Rulebook) -> str:
    import msgspec

    from advisor.config.defaults import load_defaults
    from advisor.config.ranges import load_ranges

    whole: dict[str, Any] = {
        "schema": 1,
        "rules": [_rule(rule) for rule in book],
        "ranges": [msgspec.to_builtins(row) for row in load_ranges()],
        "defaults": [asdict(default) for default in load_defaults()],
    }
    return msgspec.json.format(msgspec.json.encode(whole), indent=1).decode()


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "code": rule.code,
        "name": rule.name,
        "symptom": rule.symptom,
        "severity": rule.severity,
        "confidence": rule.sure,
        "guide": list(rule.guide),
        "needs": rule.waits_for or None,
        "seen": rule.seen,
        "do": rule.do,
        "unless": list(rule.unless),
    }


def _list_keys() -> None:
    from advisor.dialects.keys import KINDS

    for key, kind in KINDS.items():
        typer.echo(f"{key}  ({kind})")


def _test(paths: list[Path]) -> None:
    from advisor.cli.rule_cases import run_cases

    files = find_rules(paths)
    book = load_rules()
    results = [r for rule in parse_rules(files, book.codes) for r in run_cases(rule, book)]
    failed = [r for r in results if not r.passed]
    for result in failed:
        case = result.case
        why = f" ({result.why})" if result.why else ""
        typer.echo(
            f"{result.rule.path}: {result.rule.code}: case '{case.name}' expects {case.expect},"
            f" got {result.answer}{why}"
        )
    typer.echo(f"{len(results)} cases, {len(failed)} failed")
    raise typer.Exit(1 if failed or not results else 0)
