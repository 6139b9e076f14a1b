"""Mutated logs, those of ../shared/logs too where it is: crashes and hangs of the whole check.

python -m benchmarks.generated.fuzz [--minutes 10] [--seed 0] [--replay FILE...]

The logs of ../shared/logs (where they are) and our own fixtures are cut, spliced, shuffled and
filled with what does not belong there; each result is read, diagnosed, planned and written as
JSON. Anything but runs or an AdvisorError is a crash; more than LIMIT CPU seconds is a hang. What
failed is kept in benchmarks/cache/fuzz/. Writes benchmarks/results/fuzz.md.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console

from advisor.config.attach import attach_config
from advisor.errors import AdvisorError
from advisor.pipeline import Failure, Request, judge_run
from advisor.readers.discover import read_all
from advisor.report.contract import to_json
from advisor.report.text import show_reports
from advisor.rulebook.load import load_rules
from advisor.rulebook.rule import Rulebook
from advisor.run import Run
from benchmarks.places import CACHE, RESULTS, ROOT, SHARED_LOGS

FIXTURES = ROOT / "tests" / "fixtures"
KEPT = CACHE / "fuzz"
LIMIT = 10  # CPU seconds for one log
MOST = 200_000  # bytes of a log that are taken
SIBLINGS = 40_000  # bytes of a config beside it
CONFIGS = (".yaml", ".yml", ".json")

Mutation = Callable[[bytes, random.Random], bytes]

STRANGE = (
    b"NaN", b"nan", b"-Infinity", b"1e400", b"-1e400", b"1e308", b"9" * 400, b"-0", b"null",
    b"''", b'""', b"[]", b"{}", b"true", b"0x10", b"1_0", b"\x00", b"\xff\xfe", b"\xed\xa0\x80",
    b"\\ud800", b"\x1b[31m", b"\r", b"\x0b", b"\xe2\x80\xa8", b"1,5", b"1/0", b"0/0", b"None",
    b"18446744073709551616", b"-9223372036854775809", b"4503599627370497.5", b"1e-400", b"inf",
    "\u0661\u0662".encode(), b"{" * 60, b"[" * 3000, b'{"a":' * 2000, b"step", b"loss", b"epoch",
    b"{'loss': ", b"\n\n\n",
)  # fmt: skip


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def behead(data: bytes, rng: random.Random) -> bytes:
    return data[rng.randrange(len(data) + 1) :]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:a] + data[b:]


def repeat(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:b] + data[a:b] * rng.randint(1, 3) + data[b:]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 3, 20, 200))):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def shuffle_bytes(data: bytes, rng: random.Random) -> bytes:
    a = rng.randrange(len(data) + 1)
    piece = bytearray(data[a : a + rng.choice((10, 100, 2000))])
    rng.shuffle(piece)
    return data[:a] + bytes(piece) + data[a + len(piece) :]


def shuffle_lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return b"\n".join(lines)


def insert_strange(data: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 2, 10))):
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.choice(STRANGE) + data[at:]
    return data


def replace_numbers(data: bytes, rng: random.Random) -> bytes:
    """Some of the numbers become something else."""
    share = rng.choice((0.01, 0.1, 1.0))
    other = rng.choice(STRANGE)

    def put(match: re.Match[bytes]) -> bytes:
        if rng.random() >= share:
            return match[0]
        return other if rng.random() < 0.5 else rng.choice(STRANGE)

    return re.sub(rb"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", put, data)


def long_line(data: bytes, rng: random.Random) -> bytes:
    return data.replace(b"\n", rng.choice((b"", b" ", b"\r", b",")))


def other_encoding(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    name = rng.choice(("utf-16", "utf-16-be", "utf-32", "utf-8-sig", "cp037"))
    return text.encode(name, "replace")


def ends_of_lines(data: bytes, rng: random.Random) -> bytes:
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\r\r\n")))


MUTATIONS: tuple[Mutation, ...] = (
    truncate, behead, cut_out, repeat, flip_bits, shuffle_bytes, shuffle_lines, insert_strange,
    replace_numbers, replace_numbers, long_line, other_encoding, ends_of_lines,
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What came of the mutated logs."""

    logs: int = 0
    runs: int = 0
    refused: int = 0
    hangs: int = 0
    slowest: float = 0.0
    crashes: Counter[str] = field(default_factory=Counter)
    by_mutation: Counter[str] = field(default_factory=Counter)


class Hang(BaseException):
    """Raised by the clock."""


def _ring(_: int, __: object) -> None:
    raise Hang


def seeds() -> list[Path]:
    """All logs, ours and real ones."""
    places = [FIXTURES / "formats", *([SHARED_LOGS] if SHARED_LOGS.is_dir() else [])]
    skip = {"expected.json", "index.csv", "labels.jsonl"}
    found = [p for place in places for p in sorted(place.rglob("*")) if p.is_file()]
    logs = [p for p in found if p.name not in skip and p.suffix not in (".py", ".md", ".yaml")]
    return [p for p in logs if p.stat().st_size > 0]


def sound(run: Run) -> None:
    """A run holds what its types promise."""
    for name, one in run.series.items():
        assert one.steps.dtype == np.int64 and one.values.dtype == np.float64, name
        assert one.steps.shape == one.values.shape and one.steps.size, name
        assert bool((np.diff(one.steps) > 0).all()), f"{name}: steps do not rise"
        for more in (one.epochs, one.times):
            assert more is None or more.shape == one.steps.shape, name
    assert run.series or run.events, "an empty run"


def check(folder: Path, rulebook: Rulebook, tally: Tally) -> None:
    """The way of `advise check` from a path to its JSON."""
    found = read_all(folder)
    assert found.runs or found.errors, "neither a run nor an error"
    reports = []
    for run in found.runs:
        sound(run)
        reports.append(judge_run(attach_config(run, Path(run.path)), rulebook, Request()))
    text = to_json(reports, [Failure(str(folder), str(error)) for error in found.errors])
    text.encode()
    json.loads(text, parse_constant=refuse)
    show_reports(Console(file=io.StringIO(), width=100), reports, [])
    tally.runs += len(found.runs)
    tally.refused += not found.runs


def refuse(word: str) -> None:
    raise AssertionError(f"{word} in strict JSON")


def cases(rng: random.Random) -> Iterator[tuple[Path, bytes, str]]:
    """Mutated logs without end."""
    logs = seeds()
    while True:
        path = rng.choice(logs)
        data = path.read_bytes()[:MOST]
        names = []
        if rng.random() < 0.1:
            other = rng.choice(logs).read_bytes()[:MOST]
            at = rng.randrange(len(data) + 1)
            data = data[:at] + other[rng.randrange(len(other) + 1) :]
            names.append("splice")
        for _ in range(rng.choice((1, 1, 2, 3))):
            mutation = rng.choice(MUTATIONS)
            data = mutation(data, rng)[: 2 * MOST]
            names.append(mutation.__name__)
        yield path, data, "+".join(names)


def lay_out(folder: Path, path: Path, data: bytes, rng: random.Random) -> None:
    """The mutated log with the configs that lie beside it, sometimes mutated too."""
    (folder / path.name).write_bytes(data)
    for other in path.parent.iterdir():
        if other.suffix in CONFIGS and other != path and other.name != "expected.json":
            text = other.read_bytes()[:SIBLINGS]
            if rng.random() < 0.3:
                text = rng.choice(MUTATIONS)(text, rng)
            (folder / other.name).write_bytes(text)


def try_one(folder: Path, rulebook: Rulebook, tally: Tally) -> str:
    """Run one case; return what went wrong, '' where nothing did."""
    begin = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    signal.alarm(10 * LIMIT)  # for what waits without computing
    try:
        check(folder, rulebook, tally)
        return ""
    except Hang:
        tally.hangs += 1
        return "hang"
    except AdvisorError:
        tally.refused += 1
        return ""
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f for f in frames if "/advisor/" in f.filename] or list(frames)
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        return f"{type(error).__name__} at {where}: {str(error)[:100]!r}"
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        tally.slowest = max(tally.slowest, time.process_time() - begin)


def fuzz(minutes: float, seed: int) -> Tally:
    rng = random.Random(seed)
    rulebook = load_rules()
    tally = Tally()
    end = time.monotonic() + 60 * minutes
    for path, data, names in cases(rng):
        if time.monotonic() > end:
            return tally
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            lay_out(folder, path, data, rng)
            before = tally.slowest
            wrong = try_one(folder, rulebook, tally)
            tally.logs += 1
            if tally.slowest > max(2.0, 1.5 * before):
                keep(folder, f"slow-{seed}-{tally.logs}")
                print(f"{tally.logs}: {path.name} {names}: {tally.slowest:.1f} s", flush=True)
            tally.by_mutation.update(names.split("+"))
            if wrong:
                place_of = wrong.split(":'")[0].split(': "')[0].split(": '")[0]
                tally.crashes[place_of] += 1
                if tally.crashes[place_of] <= 3:
                    keep(folder, f"{seed}-{tally.logs}")
                    print(f"{tally.logs}: {path.name} {names}: {wrong}", flush=True)
    return tally


def keep(folder: Path, name: str) -> None:
    target = KEPT / name
    target.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())


def page(tally: Tally, minutes: float, seed: int) -> str:
    rows = [
        ("mutated logs", tally.logs), ("runs read of them", tally.runs),
        ("refused with one line", tally.refused),
        ("crashes", sum(tally.crashes.values()) - tally.hangs), ("hangs", tally.hangs),
    ]  # fmt: skip
    lines = [
        "# Fuzz: mutated logs through the whole check",
        "",
        f"Made by `python -m benchmarks.generated.fuzz --minutes {minutes:g} --seed {seed}` from "
        f"{len(seeds())} logs, one process.",
        "",
        "| | count |",
        "| --- | --- |",
        *(f"| {name} | {count:,} |" for name, count in rows),
        f"| slowest, CPU seconds | {tally.slowest:.1f} |",
        "",
        "| mutation | times |",
        "| --- | --- |",
        *(f"| {name} | {count:,} |" for name, count in sorted(tally.by_mutation.items())),
    ]
    if tally.crashes:
        lines += ["", "Crashes:", "", *(f"- {n} x {what}" for what, n in tally.crashes.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", nargs="*", type=Path, help="only these folders, with traceback")
    parser.add_argument("--write", action="store_true", help="put it into results/")
    args = parser.parse_args()
    np.seterr(all="ignore")
    signal.signal(signal.SIGALRM, _ring)
    signal.signal(signal.SIGPROF, _ring)
    if args.replay:
        for folder in args.replay:
            check(folder, load_rules(), Tally())
        return
    tally = fuzz(args.minutes, args.seed)
    text = page(tally, args.minutes, args.seed)
    print(text)
    if args.write:
        (RESULTS / "fuzz.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
