"""One pass over a console log: its rows of numbers, its events and the facts it states."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from advisor.readers import names
from advisor.readers.console import pairs as console_pairs
from advisor.readers.console import tables as console_tables
from advisor.readers.console.dicts import Templates, find_dict, find_step, parse_dict
from advisor.readers.console.events import Scanner
from advisor.readers.console.layouts import PairReader
from advisor.readers.console.pairs import FoundPairs, find_bar
from advisor.readers.console.rows import NAN, Block, RowPlace, Rows
from advisor.readers.console.runs import EPOCHS_SHOWN, Told
from advisor.readers.console.tables import ConsoleSection, Sections, Stack, Table
from advisor.readers.console.text import chunks, lines, split_mark
from advisor.readers.console.words import DEFAULT, LineWords

SHAPES = 2_000  # more shapes of rows than this are a hostile file
NEAR = 40  # lines below one that states a step alone that are of this step
OPEN_LINES = 80  # a dictionary printed over more lines than this is none

_OTHER_BAR = re.compile(
    r"^\s*(?:Map|Load|Download|Tokeniz|Generat|Filter|Eval|Valid|Test|Predict|Fetch|Prepar|"
    r"Process|Convert|Sav|Merg|Upload|Pack|Add|Truncat|Apply)",
    re.IGNORECASE,
)
_FACTS = (
    (re.compile(r"Total (?:optimization |train(?:ing)? )?steps\s*=\s*([\d,]{1,15})"), "max_steps"),
    (re.compile(r"Num [Ee]pochs\s*=\s*([\d,]{1,12})"), "num_train_epochs"),
    (re.compile(r"Num examples\s*=\s*([\d,]{1,15})"), "train_samples"),
    (re.compile(r"\blogging_steps['\"]?\s*[=:]\s*(\d{1,9})\b"), "logging_steps"),
)
_FACT_HINT = re.compile(r"Num [Ee]|Total (?:opt|train|steps)|logging_steps")
_HEADER = re.compile(
    r"Running training|Num examples\s*=|Starting training|Training starts at|^Build model"
)
_SAVED = re.compile(r"\b[Ss]av(?:ed|ing) .{0,200}\b(?:to|at|in|as):? ['\"]?(\S*[/\\]\S+)")
# What an advisor said of the run is no metric and no event of it.
_ADVICE = re.compile(r"\s*(?:\[(?:finding|rollback|stop)\]|advise:) ")


@dataclass(slots=True)
class Scan:
    """What the pass found."""

    words: LineWords
    reader: PairReader
    rows: Rows = field(default_factory=Rows)
    events: Scanner = field(default_factory=Scanner)
    told: Told = field(default_factory=Told)
    _templates: Templates = field(default_factory=Templates)
    _bars: dict[float, float] = field(default_factory=dict)
    _epoch: float = NAN
    _progress: tuple[FoundPairs, int] | None = None
    _open: list[str] = field(default_factory=list)
    _sections: Sections = field(default_factory=Sections)
    _writer: str = ""  # the mark of the process that wrote the line
    _table: Table | None = None
    _stack: Stack = field(default_factory=Stack)
    _at: tuple[float, float, int] = (NAN, NAN, 0)  # a step that a line states alone: its line

    def feed(self, number: int, raw: str) -> None:
        """Look at one line."""
        if raw[:1] == "{" and not self._open and self._templates.take(number, raw, self._bar()):
            return
        self._writer, text = split_mark(raw)
        self.events.writer = self._writer
        if _ADVICE.match(text):
            return
        if self._open or (text.strip() == "{" and not self.events.in_traceback):
            self._read_over_lines(number, text)
            return
        self._see_bar(number, text)
        span = find_dict(text)
        if span is not None:
            before = console_pairs.without_prefix(text[: span[0]])
            if self._dictionary(number, text[span[0] : span[1]], before):
                return
        if self._table_row(number, text):
            return
        if self.events.raises(text) or self.events.skips(text):
            self.events.feed(number, text)
            return
        of_section, section = self._sections.feed(number, text)
        if section is not None:
            self._section(section)
        if of_section:
            return
        if saved := _SAVED.search(text):
            self.told.add_saved(saved[1])
            self.events.feed(number, text)
            return
        found = None if self.events.in_traceback else self.reader.read(text)
        if found is not None and self._pairs(number, found):
            return
        self._find_event(number, text)
        if _FACT_HINT.search(text):
            self._state_facts(number, text)
        if _HEADER.search(text):
            self.told.header(number)

    def _find_event(self, number: int, text: str) -> None:
        """Look for an event in a line that is no metric."""
        known = len(self.events.happenings)
        self.events.feed(number, text)
        if any(one.kind == "resume" for one in self.events.happenings[known:]):
            self.told.resume(number, text)

    def whole(self, number: int, text: str) -> bool:
        """Take a piece of the log at once where all its lines are one dictionary's layout."""
        return not self._open and self._templates.take_all(number, text, self._bar())

    def _dictionary(self, number: int, text: str, before: str = "") -> bool:
        parsed = parse_dict(text)
        if parsed is None:
            return False
        split = "eval" if console_pairs.HELD_OUT.match(before) else ""
        said = self.reader.read(before) if before.strip() and "|" not in before else None
        numbers, texts = parsed
        if "train_runtime" in numbers:
            self.told.summarise(number, numbers)
            self.events.endings.closed = number
            return True
        step, total = find_step(numbers, texts)
        bar, end = self._bar()
        epoch = numbers.get("epoch", self._epoch)
        if said is not None and said.step == said.step and math.isnan(step):
            step, total = said.step, said.total
        if said is not None and said.epoch == said.epoch and "epoch" not in numbers:
            epoch = said.epoch
        block = self._block("dict", split, tuple(numbers))
        if block is None:
            return False
        block.add(numbers.values(), RowPlace(number, step, total, epoch, bar, end))
        if math.isnan(step) and not texts and not before.strip():
            self._templates.learn(text, tuple(numbers), block)
        return True

    def _read_over_lines(self, number: int, text: str) -> None:
        self._open.append(text)
        if "}" in text or len(self._open) > OPEN_LINES:
            self._close(number)

    def _close(self, number: int) -> None:
        text, self._open = " ".join(self._open), []
        if text:
            self._dictionary(number, text)

    def _table_row(self, number: int, text: str) -> bool:
        """Take a row of a printed table, or the header that opens one."""
        of_stack, row = self._stack.feed(text)
        if of_stack:
            if row is not None:
                self._add_row(number, row)
            return True
        if self._table is not None:
            row = console_tables.row_of(self._table, text)
            if row is not None:
                self._table.rows += 1
                self._add_row(number, row)
                return True
            if text.strip() and not console_tables.is_border(text):
                self._table = None
        opened = console_tables.header_of(text)
        if opened is not None:
            self._table = opened
        return opened is not None

    def _add_row(self, number: int, row: dict[str, float]) -> None:
        step = next((v for k, v in row.items() if names.plain(k) in names.STEP), NAN)
        epoch = next((v for k, v in row.items() if names.plain(k) in names.EPOCH), NAN)
        values = {k: v for k, v in row.items() if not names.is_place(k)}
        block = self._block("table", "", tuple(values)) if values else None
        if block is not None:
            block.add(values.values(), RowPlace(number, step, NAN, epoch))

    def _see_bar(self, number: int, text: str) -> None:
        bar = find_bar(text)
        if bar is None or _OTHER_BAR.match(bar.label):
            return
        if len(self._bars) < 64 or bar.end in self._bars:
            self._bars[bar.end] = bar.at
        self.events.endings.see_bar(number, bar.at, bar.end)

    def _bar(self) -> tuple[float, float]:
        """Return the longest bar seen: an evaluation's is shorter than training's."""
        if not self._bars:
            return NAN, NAN
        end = max(self._bars)
        return self._bars[end], end

    def _block(self, kind: str, split: str, keys: tuple[str, ...]) -> Block | None:
        shape = (kind, split, keys, self._writer)
        if len(self.rows.blocks) >= SHAPES and shape not in self.rows.blocks:
            return None
        return self.rows.block(*shape)

    def _pairs(self, number: int, found: FoundPairs) -> bool:
        metric = console_pairs.is_metric(found, self.words)
        if found.epoch == found.epoch and (metric or found.heads):
            if found.epoch != self._epoch:
                self._flush()
            self._epoch = found.epoch
            if found.epochs == found.epochs:
                self.told.state(number, EPOCHS_SHOWN, int(found.epochs))
        if found.kind == "progress":
            if metric:
                before = self._progress[0].bar if self._progress else None
                if before and found.bar and found.bar < before:
                    self._flush()
                self._progress = (found, number)
            return metric
        if not metric and not (
            self._is_placed(number) and console_pairs.is_known(found, self.words)
        ):
            if found.step == found.step and not found.values and not found.split:
                self._at = (found.step, found.total, number)
            return False
        self._add(number, found)
        return True

    def _is_placed(self, number: int) -> bool:
        """Say whether an epoch is open, or a line shortly before stated a step alone."""
        return self._epoch == self._epoch or (self._at[2] > 0 and number - self._at[2] < NEAR)

    def _flush(self) -> None:
        if self._progress:
            found, number = self._progress
            self._progress = None
            found.bar = None
            self._add(number, found)

    def _add(self, number: int, found: FoundPairs) -> None:
        step, total = found.step, found.total
        if math.isnan(step) and found.bar is not None:
            step, total = found.bar
        if math.isnan(step) and self._at[2] > 0 and number - self._at[2] < NEAR:
            step, total = self._at[:2]
        values = found.values
        if "loss_scale" in values and "number_of_skipped_iterations" in values:
            self._megatron(number, values)
        epoch = found.epoch if found.epoch == found.epoch else self._epoch
        kind = "bare" if found.bare else found.kind
        block = self._block(kind, found.split, tuple(values))
        if block is not None and values:
            block.add(values.values(), RowPlace(number, step, total, epoch))

    def _megatron(self, number: int, values: dict[str, float]) -> None:
        """Megatron leaves the loss out where it is not finite, and where a step was skipped."""
        if any(name.endswith("loss") for name in values):
            return
        if values["number_of_skipped_iterations"] > 0:
            self.events.add_skipped(number, f"skipped, loss scale {values['loss_scale']:g}")
        else:
            values["lm_loss"] = NAN

    def _section(self, section: ConsoleSection) -> None:
        """A block of metrics: closing averages, and where it tells of an evaluation, a row."""
        self.told.summarise(section.line, section.numbers)
        values = {k: v for k, v in section.numbers.items() if not names.is_place(k)}
        split = names.SIDE_WORDS.get(section.title, "")
        if split == "train" or not values:
            return
        sided = any(names.canonical(key).startswith("eval/") for key in values)
        step = next((v for k, v in section.numbers.items() if names.plain(k) in names.STEP), NAN)
        epoch = section.numbers.get("epoch", NAN)
        block = self._block("section", "" if sided else split, tuple(values))
        if block is not None:
            block.add(values.values(), RowPlace(section.line, step, NAN, epoch))

    def _state_facts(self, number: int, text: str) -> None:
        for pattern, name in _FACTS:
            match = pattern.search(text)
            if match:
                self.told.state(number, name, int(match[1].replace(",", "")))

    def finish(self, number: int) -> None:
        self._close(number)
        self._flush()
        section = self._sections.finish()
        if section is not None:
            self._section(section)
        self.events.finish(number)


def scan(path: Path, words: LineWords = DEFAULT, growing: bool = False) -> Scan:
    """Read the whole log once."""
    result = Scan(words, PairReader(words))
    number = 0
    for number, text in chunks(path, growing):
        if not result.whole(number, text):
            for line, raw in lines(number, text):
                result.feed(line, raw)
        number += text.count("\n")
    result.finish(number)
    return result
