"""Errors that a user can act on: one line that says what was wrong, what was expected, and what to do."""


class DipddpmError(Exception):
    """Base of every error this package raises on purpose; `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(DipddpmError):
    """The command or a name in it is wrong; nothing was run."""

    exit_code = 2


class OutOfTime(DipddpmError):
    """The time budget ran out or a stop was asked for; everything is saved and the same command goes on."""

    exit_code = 75


class ConfigError(UsageError):
    """A configuration, or what a profile declares, is not allowed."""


class DataError(DipddpmError):
    """A data set could not be had, or a file of it is not the one that was published."""


class StoreError(DipddpmError):
    """The results folder cannot be read or written, or a record in it was altered."""


class TrainingError(DipddpmError):
    """A training run cannot go on (for instance, its loss is not finite); its last good checkpoint is kept."""


class DeviceError(DipddpmError):
    """The device that was asked for is not there."""
