"""Helpers for proofs of new migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Base
from tests.proofs.kit import run


@contextmanager
def models() -> Iterator[MetaData]:
    """Models that only the migrations of this block see, next to those of the service."""
    before = dict(Base.metadata.tables)
    try:
        yield Base.metadata
    finally:
        for name in Base.metadata.tables.keys() - before.keys():
            Base.metadata.remove(Base.metadata.tables[name])


class Revisions:
    """Writes and runs migrations in a database."""

    def __init__(self, engine: AsyncEngine, config: Config) -> None:
        self.engine = engine
        self.config = config
        self.folder = Path(config.get_main_option("script_location") or "", "versions")

    async def run(self, function: object, *arguments: str, **options: bool) -> None:
        await run(self.engine, function, *arguments, config=self.config, **options)  # type: ignore[arg-type]

    async def write(self, message: str, *, autogenerate: bool = True) -> Path:
        """Write a migration, and return its file."""
        known = set(self.folder.glob("*.py"))
        await self.run(command.revision, message, autogenerate=autogenerate)
        (new,) = set(self.folder.glob("*.py")) - known
        return new

    async def migrate(self, message: str) -> Path:
        """Write and apply a migration of the models' changes; nothing is left to do."""
        await self.run(command.upgrade, "head")
        new = await self.write(message)
        await self.run(command.upgrade, "head")
        await self.run(command.check)
        return new

    async def repeat(self) -> None:
        """Revert and apply the newest migration, and then all."""
        for target in ("-1", "base"):
            await self.run(command.downgrade, target)
            await self.run(command.upgrade, "head")
            await self.run(command.check)
