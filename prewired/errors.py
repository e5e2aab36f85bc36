"""Errors that are shown to users as one sentence."""


class PrewiredError(Exception):
    """The command cannot do its work. The message says why, and what to do about it."""


class HalfDoneError(PrewiredError):
    """An update was neither finished nor undone; the next run of the command undoes it."""
