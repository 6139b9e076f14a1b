"""Whether the tests hold what matters: seeded changes of rules, plan and strategy, and who notices.

    python -m benchmarks.tools.mutation [--seed 1] [--count 30] [--only TEXT]

Each change is made in a copy of the tree, where the tests of its part run. Writes
benchmarks/results/mutation.md. About ten minutes of one core.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.places import RESULTS, ROOT, environment

RESULT = RESULTS / "mutation.md"
COPIED = ("advisor", "rules", "presets", "tests", "train", "docs", "pyproject.toml", "README.md")
OF_RULES = ("tests/test_rule_cases.py", "tests/test_suppression.py", "tests/test_diagnose.py")
OF_PLAN = (
    "tests/test_edits.py", "tests/test_edit_status.py", "tests/test_plan.py",
    "tests/test_coupling.py", "tests/test_deciding.py", "tests/test_rates.py",
    "tests/test_directions.py", "tests/test_ranges.py", "tests/test_cures.py",
    "tests/test_apply.py", "tests/test_styles.py", "tests/test_configs.py",
)  # fmt: skip
OF_STRATEGY = ("tests/tuning",)
LONGEST = 300  # seconds of a test run
SHARES = {"limit": 9, "comparison": 6, "suppression": 5, "plan": 5, "strategy": 5}


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of one file: its text before and after, and the tests that ought to notice."""

    kind: str
    file: str
    what: str
    new: str
    tests: tuple[str, ...]
    choose: str = ""  # pytest's -k


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=sum(SHARES.values()))
    parser.add_argument("--only", default="", help="changes whose kind or file holds this text")
    parser.add_argument("--check", action="store_true", help="print, write nothing")
    asked = parser.parse_args()
    chosen = choose(asked.seed, asked.count)
    chosen = [m for m in chosen if asked.only in f"{m.kind} {m.file}"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_tree(Path(folder))
        for mutation in chosen:
            rows.append((mutation, is_caught(mutation, tree)))
            print(f"{'caught' if rows[-1][1] else 'MISSED'} {mutation.kind} {mutation.what}")
    text = table(rows, asked.seed)
    print(text)
    if not asked.check and not asked.only:
        RESULT.write_text(text, encoding="utf-8")


def choose(seed: int, count: int) -> list[Mutation]:
    """Return so many changes, of each kind its share, drawn by the seed."""
    rng = random.Random(seed)
    makers: dict[str, Callable[[], Iterator[Mutation]]] = {
        "limit": limits, "comparison": comparisons, "suppression": suppressions,
        "plan": lambda: constants("plan", "advisor/plan", OF_PLAN),
        "strategy": lambda: constants("strategy", "advisor/tuning/strategy", OF_STRATEGY),
    }  # fmt: skip
    chosen = [m for kind, n in SHARES.items() for m in rng.sample(list(makers[kind]()), n)]
    return chosen[:count]


def _rules() -> Iterator[tuple[str, str, str]]:
    """Yield file, text and code of every rule that is judged from a log."""
    for path in sorted((ROOT / "rules").glob("*/*.yaml")):
        text = path.read_text(encoding="utf-8")
        if "\nwhen:" in text:
            yield path.relative_to(ROOT).as_posix(), text, path.stem.split("-")[0]


def _held_rules() -> Iterator[tuple[str, str, str]]:
    """Yield the rules whose limits cases hold: those of LR and PL are to be learnt from runs."""
    return (each for each in _rules() if not each[2].startswith(("LR", "PL")))


def _condition(text: str) -> tuple[int, int]:
    """Return where the clauses of `when` begin and end."""
    begin = text.index("\nwhen:") + 6
    end = re.search(r"^\w", text[begin:], re.MULTILINE)
    return begin, begin + end.start() if end else len(text)


def limits() -> Iterator[Mutation]:
    """Yield limits that stand in a condition, twice or half as large."""
    for file, text, code in _held_rules():
        begin, end = _condition(text)
        names = set(re.findall(r"\b[a-z_]+\b", text[begin:end]))
        for match in re.finditer(r"(?<=[{ ,])(\w+): (-?\d*\.?\d+(?:e-?\d+)?)(?=[,}\s])", text):
            head = text.rfind("\nlimits:", 0, match.start())
            if match[1] not in names or head < 0 or "\nwhen:" in text[head : match.start()]:
                continue
            value = float(match[2])
            if not value:
                continue
            for by in (2.0, 0.5):
                new = f"{text[: match.start(2)]}{value * by:g}{text[match.end(2) :]}"
                what = f"{code} {match[1]}: {value:g} to {value * by:g}"
                yield Mutation("limit", file, what, new, OF_RULES, code)


def comparisons() -> Iterator[Mutation]:
    """Yield conditions with one comparison turned round."""
    for file, text, code in _held_rules():
        begin, end = _condition(text)
        for match in re.finditer(r" ([<>]=?) ", text[begin:end]):
            turned = match[1].translate(str.maketrans("<>", "><"))
            at = begin + match.start(1)
            line = text[text.rfind("\n", 0, at) + 1 : text.index("\n", at)].strip("- ")
            new = text[:at] + turned + text[at + len(match[1]) :]
            yield Mutation("comparison", file, f"{code} {line}: {turned}", new, OF_RULES, code)


def suppressions() -> Iterator[Mutation]:
    """Yield rules that forget one of the rules that explain them."""
    for file, text, code in _rules():
        found = re.search(r"^unless: \[([A-Z0-9, ]+)\]$", text, re.MULTILINE)
        for other in found[1].split(", ") if found else ():
            kept = ", ".join(c for c in found[1].split(", ") if c != other) if found else ""
            new = text.replace(found[0], f"unless: [{kept}]") if found else text
            yield Mutation("suppression", file, f"{code} without {other}", new, OF_RULES, code)


def constants(kind: str, folder: str, tests: tuple[str, ...]) -> Iterator[Mutation]:
    """Yield code with one number half as large again; 0, 1 and -1 are left alone."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.split("\n")
        for node in ast.walk(ast.parse(text)):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) <= 1e-9:
                continue
            if value in (1, -1) or abs(value) < 1e-5 or node.lineno != node.end_lineno:  # type: ignore[union-attr]
                continue
            larger = value * 1.5 if isinstance(value, float) else max(value + 1, round(value * 1.5))
            line = lines[node.lineno - 1]
            new_line = f"{line[: node.col_offset]}{larger}{line[node.end_col_offset :]}"
            new = "\n".join([*lines[: node.lineno - 1], new_line, *lines[node.lineno :]])
            file = path.relative_to(ROOT).as_posix()
            yield Mutation(kind, file, f"{path.name}:{node.lineno} {value} to {larger}", new, tests)


def copy_tree(folder: Path) -> Path:
    """Copy what the tests need into a folder; the folder beside holds no logs of others."""
    tree = folder / "tree"
    tree.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=ignored)
        else:
            shutil.copy(source, tree / name)
    return tree


def is_caught(mutation: Mutation, tree: Path) -> bool:
    """Run the tests on the changed tree; restore it after."""
    place = tree / mutation.file
    before = place.read_text(encoding="utf-8")
    place.write_text(mutation.new, encoding="utf-8")
    choose = ["-k", mutation.choose] if mutation.choose else []
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider",
               "-m", "not slow and not integration", *choose, *mutation.tests]  # fmt: skip
    env = {**environment(), "PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(
            command, cwd=tree, env=env, capture_output=True, check=False, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:  # it goes on for ever: who runs the tests notices
        return True
    finally:
        place.write_text(before, encoding="utf-8")
    if done.returncode not in (0, 1, 2):  # 2: the tests cannot even be collected
        raise RuntimeError(f"{mutation.what}: pytest ended by {done.returncode}")
    return done.returncode != 0


def table(rows: list[tuple[Mutation, bool]], seed: int) -> str:
    """Return the Markdown table of what was caught."""
    caught = Counter(m.kind for m, yes in rows if yes)
    total = Counter(m.kind for m, _ in rows)
    lines = [
        "# Mutations",
        f"`python -m benchmarks.tools.mutation --seed {seed}`: {sum(caught.values())} of "
        f"{len(rows)} seeded changes are caught by the fast tests of their part.",
        "| kind | caught |\n| --- | --- |\n"
        + "\n".join(f"| {kind} | {caught[kind]}/{n} |" for kind, n in total.items()),
        "| change | file | caught |\n| --- | --- | --- |\n"
        + "\n".join(
            f"| {m.what.replace('|', '')} | `{m.file}` | {'yes' if yes else '**no**'} |"
            for m, yes in rows
        ),
    ]
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
