"""Public API of the core package, for the service and its features."""

from app.core.database import (
    Base,
    ReadSessionDep,
    SessionDep,
    SessionFactory,
    SessionFactoryDep,
    get_session,
)
from app.core.distribution import version
from app.core.engine import open_database
from app.core.install import install
from app.core.logs import configure_logging
from app.core.problems import ProblemError, problems
from app.core.settings import CoreSettings, EnvironmentSettings

__all__ = [
    "Base",
    "CoreSettings",
    "EnvironmentSettings",
    "ProblemError",
    "ReadSessionDep",
    "SessionDep",
    "SessionFactory",
    "SessionFactoryDep",
    "configure_logging",
    "get_session",
    "install",
    "open_database",
    "problems",
    "version",
]
