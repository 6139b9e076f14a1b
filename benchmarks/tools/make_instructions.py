"""Makes presets/instructions.jsonl and .val.jsonl: small tasks that a tiny model can learn.

    python -m benchmarks.tools.make_instructions

Columns are instruction, context, response. Always the same rows; no prompt is in both files.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from pathlib import Path

from benchmarks.places import PRESETS

OUT = PRESETS
TRAIN, HELD = 50, 10  # rows of each task


def _words(text: str) -> list[str]:
    return text.split()


NOUNS = _words(
    "king queen lord lady night day sword crown heart hand eye tongue house garden river sea "
    "fire earth heaven angel serpent rabbit cat mouse hatter turtle castle letter horse ship "
    "wind star moon sun rose tree stone child mother father brother friend soldier priest"
)
ADJECTIVES = _words(
    "good sweet fair noble gentle brave old young dark bright cold proud true false gracious "
    "heavy little great poor rich silent sad merry wise"
)
NAMES = _words("Romeo Juliet Alice Adam Eve Edward Richard Henry Margaret Hermione Angelo Lucio")

Pair = tuple[str, str, str]  # instruction, context, response
Task = Callable[[random.Random], Pair]


def words(rng: random.Random, low: int, high: int) -> list[str]:
    return [rng.choice((*NOUNS, *ADJECTIVES)) for _ in range(rng.randint(low, high))]


def say(rng: random.Random, *ways: str) -> str:
    return rng.choice(ways)


def copy(rng: random.Random) -> Pair:
    text = " ".join(words(rng, 2, 6))
    return say(rng, "Repeat the text.", "Copy the words.", "Say it again."), text, text


def reverse(rng: random.Random) -> Pair:
    found = words(rng, 2, 4)
    asked = say(rng, "Write the words in reverse order.", "Say the words backwards.")
    return asked, " ".join(found), " ".join(reversed(found))


def count(rng: random.Random) -> Pair:
    found = words(rng, 1, 7)
    return say(rng, "How many words?", "Count the words."), " ".join(found), str(len(found))


def capitals(rng: random.Random) -> Pair:
    word = rng.choice((*NOUNS, *ADJECTIVES))
    other = rng.choice(NOUNS)
    asked = say(rng, "Write it in capitals.", "Use capital letters.")
    return asked, f"{word} {other}", f"{word} {other}".upper()


def first_letter(rng: random.Random) -> Pair:
    text = " ".join(words(rng, 1, 3))
    asked = say(rng, "What is the first letter?", "Name the first letter.")
    return asked, text, text[0]


def first_word(rng: random.Random) -> Pair:
    found = words(rng, 3, 6)
    return say(rng, "What is the first word?", "Name the first word."), " ".join(found), found[0]


def last_word(rng: random.Random) -> Pair:
    found = words(rng, 3, 6)
    return say(rng, "What is the last word?", "Name the last word."), " ".join(found), found[-1]


def look_up(rng: random.Random) -> Pair:
    people, things = rng.sample(NAMES, 3), rng.sample(NOUNS, 3)
    context = "; ".join(f"{who} has a {what}" for who, what in zip(people, things, strict=True))
    at = rng.randrange(3)
    return f"What has {people[at]}?", context + ".", f"a {things[at]}"


def add(rng: random.Random) -> Pair:
    a = rng.randint(0, 18)
    b = rng.randint(0, 18 - a)
    return say(rng, f"What is {a} + {b}?", f"Add {a} and {b}."), "", str(a + b)


def larger(rng: random.Random) -> Pair:
    a, b = rng.sample(range(40), 2)
    return say(rng, "Which is larger?", "Name the larger number."), f"{a} or {b}", str(max(a, b))


def is_in(rng: random.Random) -> Pair:
    found = words(rng, 3, 5)
    word = rng.choice(found) if rng.random() < 0.5 else rng.choice(NOUNS)
    answer = "yes" if word in found else "no"
    return f"Is the word {word} in the text?", " ".join(found), answer


def plural(rng: random.Random) -> Pair:
    word = rng.choice([noun for noun in NOUNS if noun[-1] not in "syhe" and noun != "mouse"])
    adjective = rng.choice(ADJECTIVES)
    return "Say it of two.", f"one {adjective} {word}", f"two {adjective} {word}s"


TASKS: tuple[Task, ...] = (
    copy, reverse, count, capitals, first_letter, first_word, last_word, look_up, add, larger,
    is_in, plural,
)  # fmt: skip


def rows() -> tuple[list[Pair], list[Pair]]:
    """Training and held-out rows, the tasks in turn."""
    rng = random.Random(2024)
    train: list[Pair] = []
    held: list[Pair] = []
    seen: set[tuple[str, str]] = set()
    for number in range(TRAIN + HELD):
        for task in TASKS:
            pair = task(rng)
            while pair[:2] in seen:
                pair = task(rng)
            seen.add(pair[:2])
            (train if number < TRAIN else held).append(pair)
    return train, held


def write(path: Path, pairs: list[Pair]) -> None:
    names = ("instruction", "context", "response")
    lines = [json.dumps(dict(zip(names, pair, strict=True))) + "\n" for pair in pairs]
    path.write_text("".join(lines), encoding="utf-8")
    print(f"{path.name}: {len(pairs)} rows")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    train, held = rows()
    write(args.out / "instructions.jsonl", train)
    write(args.out / "instructions.val.jsonl", held)


if __name__ == "__main__":
    main()
