import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from app.main import create_app
from app.settings import Settings
from tests.wiring import shop


@pytest.fixture(scope="package", autouse=True)
async def _tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(shop.Base.metadata.create_all)


@pytest.fixture(scope="package")
def shared_app(settings: Settings, engine: AsyncEngine) -> FastAPI:
    app = create_app(settings, engine)
    app.include_router(shop.router)
    return app
