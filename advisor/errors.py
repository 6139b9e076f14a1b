"""Errors that reach a user: one clear line each, exit status 2.

AdvisorError
├── ReadError      a log cannot be read: what, where, what to do
│   ├── NotALog    a file that holds no training metrics
│   └── NoColumn   a log lacks a column that --map names
├── RuleError      a rule table is faulty: every fault as file:line
├── ConfigError    a config or setting is faulty
└── EditError      an edit cannot be made or written
"""


def one_line(text: str) -> str:
    """Return text that is safe to print as one line, whatever a file's name holds."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class AdvisorError(Exception):
    """Base of all errors that are shown to a user as one line."""


class ReadError(AdvisorError):
    """A log cannot be read; the message is one line, whatever a file's name holds."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class NotALog(ReadError):
    """A file holds no training metrics: skipped where it only lies beside logs."""


class NoColumn(ReadError):
    """A log lacks columns that --map names; another log beside it may have them."""

    def __init__(self, message: str, missing: tuple[str, ...]) -> None:
        super().__init__(message)
        self.missing = missing


class RuleError(AdvisorError):
    """A rule file is faulty; the message holds every fault as ``file:line: rule: what``."""


class ConfigError(AdvisorError):
    """A training config or a setting of ours is faulty."""


class EditError(AdvisorError):
    """An edit cannot be resolved or written."""
