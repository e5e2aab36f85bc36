"""Items for tests, with whatever a test does not care about made up."""

from polyfactory.factories.sqlalchemy_factory import SQLAlchemyFactory
from sqlalchemy.ext.asyncio import AsyncSession

from tests.wiring.shop import Item


class ItemFactory(SQLAlchemyFactory[Item]):
    """Builds items that are not stored yet."""

    __set_primary_key__ = False
    __set_relationships__ = False

    stock = 0


async def add_item(session: AsyncSession, **values: object) -> Item:
    """Add an item to a session, which gives it its id."""
    item = ItemFactory.build(**values)
    session.add(item)
    await session.flush()
    return item
