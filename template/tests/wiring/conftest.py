import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.wiring import shop


@pytest.fixture(scope="package", autouse=True)
async def _tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(shop.Base.metadata.create_all)


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    app.include_router(shop.router)
    return app
