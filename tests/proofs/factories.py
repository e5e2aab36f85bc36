"""Factories for items."""

from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from tests.proofs.shop import Item, Part


async def add_item(
    session: AsyncSession, name: str | None = None, stock: int = 0, parts: list[Part] | None = None
) -> Item:
    """Add an item to a session and flush it, which sets its id."""
    item = Item(name=name or uuid4().hex, stock=stock, parts=parts or [])
    session.add(item)
    await session.flush()
    return item
