"""Errors that reach a user: one clear line each, exit status 2.

AdvisorError
├── ReadError      a log cannot be read: what, where, what to do
├── RuleError      a rule table is faulty: every fault as file:line
├── ConfigError    a config or setting is faulty
└── EditError      an edit cannot be made or written
"""


class AdvisorError(Exception):
    """Base of all errors that are shown to a user as one line."""


class ReadError(AdvisorError):
    """A log cannot be read."""


class RuleError(AdvisorError):
    """A rule file is faulty; the message holds every fault as ``file:line: rule: what``."""


class ConfigError(AdvisorError):
    """A training config or a setting of ours is faulty."""


class EditError(AdvisorError):
    """An edit cannot be resolved or written."""
