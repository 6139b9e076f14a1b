"""One pass over a console log that collects its rows of numbers, its events and its facts."""

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
from advisor.readers.console.runs import EPOCHS_SHOWN, Statements
from advisor.readers.console.tables import ConsoleSection, Sections, Stack, Table
from advisor.readers.console.text import chunks, lines, split_prefix
from advisor.readers.console.words import DEFAULT, LineWords

SHAPES = 2_000  # shapes of rows that are kept; only a hostile file has more
NEAR = 40  # lines after one that states only a step that belong to this step
OPEN_LINES = 80  # lines over which one dictionary may be printed

_OTHER_BAR = re.compile(
    r"^\s*(?:Map|Load|Download|Tokeniz|Generat|Filter|Eval|Valid|Test|Predict|Fetch|Prepar|"
    r"Process|Convert|Sav|Merg|Upload|Pack|Add|Truncat|Apply)",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"Running training|Num examples\s*=|Starting training|Training starts at|^Build model"
)
_SAVED = re.compile(r"\b[Ss]av(?:ed|ing) .{0,200}\b(?:to|at|in|as):? ['\"]?(\S*[/\\]\S+)")
# Output of this advisor about the run is no metric and no event of the run.
_ADVICE = re.compile(r"\s*(?:\[(?:finding|rollback|stop)\]|advise:) ")


@dataclass(slots=True)
class Scan:
    """The state and the results of the pass, fed line by line."""

    words: LineWords
    reader: PairReader
    rows: Rows = field(default_factory=Rows)
    events: Scanner = field(default_factory=Scanner)
    stated: Statements = field(default_factory=Statements)
    _templates: Templates = field(default_factory=Templates)
    _bars: dict[float, float] = field(default_factory=dict)  # end of each bar -> its count
    _epoch: float = NAN  # stated last
    _progress: tuple[FoundPairs, int] | None = None  # the last Keras bar, and its line
    _open: list[str] = field(default_factory=list)  # lines of a dictionary that is not closed
    _sections: Sections = field(default_factory=Sections)
    _writer: str = ""  # the prefix of the process that wrote the line
    _table: Table | None = None
    _stack: Stack = field(default_factory=Stack)
    _at: tuple[float, float, int] = (NAN, NAN, 0)  # step, total, line of a step stated alone

    def feed(self, number: int, raw: str) -> None:
        """Take one line."""
        if raw[:1] == "{" and not self._open and self._templates.take(number, raw, self._bar()):
            return
        self._writer, text = split_prefix(raw)
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
            if self._add_dictionary(number, text[span[0] : span[1]], before):
                return
        if self._add_table_line(number, text):
            return
        if self.events.is_exception(text) or self.events.is_skip(text):
            self.events.feed(number, text)
            return
        of_section, section = self._sections.feed(number, text)
        if section is not None:
            self._add_section(section)
        if of_section:
            return
        if saved := _SAVED.search(text):
            self.stated.add_saved(saved[1])
            self.events.feed(number, text)
            return
        found = None if self.events.in_traceback else self.reader.read(text)
        if found is not None and self._add_pairs(number, found):
            return
        self._find_event(number, text)
        self.stated.read_facts(number, text)
        if _HEADER.search(text):
            self.stated.add_header(number)

    def _find_event(self, number: int, text: str) -> None:
        """Search a line without metrics for an event."""
        known = len(self.events.found)
        self.events.feed(number, text)
        if any(one.kind == "resume" for one in self.events.found[known:]):
            self.stated.add_resume(number, text)

    def feed_chunk(self, number: int, text: str) -> bool:
        """Take a chunk at once if all its lines have one dictionary's layout; return whether."""
        return not self._open and self._templates.take_all(number, text, self._bar())

    def _add_dictionary(self, number: int, text: str, before: str = "") -> bool:
        """Add a printed dictionary that follows the text ``before``; False where it is none."""
        parsed = parse_dict(text)
        if parsed is None:
            return False
        split = "eval" if console_pairs.HELD_OUT.match(before) else ""
        ahead = self.reader.read(before) if before.strip() and "|" not in before else None
        numbers, texts = parsed
        if "train_runtime" in numbers:
            self.stated.add_summary(number, numbers)
            self.events.endings.closed = number
            return True
        step, total = find_step(numbers, texts)
        bar, end = self._bar()
        epoch = numbers.get("epoch", self._epoch)
        if ahead is not None and ahead.step == ahead.step and math.isnan(step):
            step, total = ahead.step, ahead.total
        if ahead is not None and ahead.epoch == ahead.epoch and "epoch" not in numbers:
            epoch = ahead.epoch
        block = self._block("dict", split, tuple(numbers))
        if block is None:
            return False
        block.add(numbers.values(), RowPlace(number, step, total, epoch, bar, end))
        if math.isnan(step) and not texts and not before.strip():
            self._templates.learn(text, tuple(numbers), block)
        return True

    def _read_over_lines(self, number: int, text: str) -> None:
        """Collect the lines of a dictionary that is printed over several lines."""
        self._open.append(text)
        if "}" in text or len(self._open) > OPEN_LINES:
            self._close(number)

    def _close(self, number: int) -> None:
        text, self._open = " ".join(self._open), []
        if text:
            self._add_dictionary(number, text)

    def _add_table_line(self, number: int, text: str) -> bool:
        """Add a row of a printed table, or open the table of a header; return whether it is one."""
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
        """Return count and end of the longest bar: an evaluation's is shorter than training's."""
        if not self._bars:
            return NAN, NAN
        end = max(self._bars)
        return self._bars[end], end

    def _block(self, kind: str, split: str, keys: tuple[str, ...]) -> Block | None:
        shape = (kind, split, keys, self._writer)
        if len(self.rows.blocks) >= SHAPES and shape not in self.rows.blocks:
            return None
        return self.rows.block(*shape)

    def _add_pairs(self, number: int, found: FoundPairs) -> bool:
        """Add a line of pairs; return False where it holds no metric."""
        metric = console_pairs.is_metric(found, self.words)
        if found.epoch == found.epoch and (metric or found.heads):
            if found.epoch != self._epoch:
                self._flush()
            self._epoch = found.epoch
            if found.epochs == found.epochs:
                self.stated.add_fact(number, EPOCHS_SHOWN, int(found.epochs))
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
        """Return whether an epoch is open, or a line shortly before stated a step alone."""
        return self._epoch == self._epoch or (self._at[2] > 0 and number - self._at[2] < NEAR)

    def _flush(self) -> None:
        """Add the last state of a Keras bar, which holds the means of its epoch."""
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
            self._add_missing_loss(number, values)
        epoch = found.epoch if found.epoch == found.epoch else self._epoch
        kind = "bare" if found.bare else found.kind
        block = self._block(kind, found.split, tuple(values))
        if block is not None and values:
            block.add(values.values(), RowPlace(number, step, total, epoch))

    def _add_missing_loss(self, number: int, values: dict[str, float]) -> None:
        """Add what Megatron states by leaving out the loss: a skipped step, or a NaN loss."""
        if any(name.endswith("loss") for name in values):
            return
        if values["number_of_skipped_iterations"] > 0:
            self.events.add_skipped(number, f"skipped, loss scale {values['loss_scale']:g}")
        else:
            values["lm_loss"] = NAN

    def _add_section(self, section: ConsoleSection) -> None:
        """Add a section: closing averages, and a row if it holds an evaluation."""
        self.stated.add_summary(section.line, section.numbers)
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

    def finish(self, number: int) -> None:
        """End the log at this line: add what is still open."""
        self._close(number)
        self._flush()
        section = self._sections.finish()
        if section is not None:
            self._add_section(section)
        self.events.finish(number)


def scan(path: Path, words: LineWords = DEFAULT, growing: bool = False) -> Scan:
    """Return the results of one pass over the whole log."""
    result = Scan(words, PairReader(words))
    number = 0
    for number, text in chunks(path, growing):
        if not result.feed_chunk(number, text):
            for line, raw in lines(number, text):
                result.feed(line, raw)
        number += text.count("\n")
    result.finish(number)
    return result
