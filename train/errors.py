"""Errors that reach a user: one clear line each (what, where, what to do), exit status 2.

TrainError
├── ConfigError       the config or command line is wrong
├── DataError         the data cannot be read, mapped or supervised
├── ModelError        the model, adapter or quantisation cannot be had
├── CheckpointError   a checkpoint cannot be written, read or resumed from
├── StepError         the run cannot go on: memory ran out, or its numbers are no numbers
└── MissingExtra      a package of an extra is not installed
"""


class TrainError(Exception):
    """Base of all errors that are shown to a user as one line."""


class TrainConfigError(TrainError):
    """The config or command line is wrong."""


class DataError(TrainError):
    """The data cannot be read, mapped or supervised."""


class ModelError(TrainError):
    """The model, adapter or quantisation is not available."""


class CheckpointError(TrainError):
    """A checkpoint cannot be written, read or resumed from."""


class StepError(TrainError):
    """The run cannot continue: out of memory, or NaN."""


class MissingExtra(TrainError):
    """A package of an extra is not installed; the message names the extra."""
