"""Log capture for the proofs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

import structlog

from app.core import CoreSettings, configure_logging


@contextmanager
def logging_configured(settings: CoreSettings) -> Iterator[StringIO]:
    """Configure logging temporarily, and yield the output."""
    configuration, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with redirect_stdout(StringIO()) as output:
        configure_logging(settings)
        yield output
    structlog.configure(**configuration)
    root.handlers[:], root.level = handlers, level
