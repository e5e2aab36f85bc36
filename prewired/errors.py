"""Errors that are shown to users as one sentence."""


class PrewiredError(Exception):
    """The command cannot do its work. The message says why, and what to do about it."""
