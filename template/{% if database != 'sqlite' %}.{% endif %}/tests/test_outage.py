"""The database goes away while the service has connections to it."""

from httpx2 import AsyncClient
from sqlalchemy import URL, select

from app.database import SessionDep
from app.main import create_app
from app.settings import Settings
from tests.database_server import detour
from tests.running import running


async def test_requests_fail_while_it_is_away_and_work_when_it_is_back(
    migrated_database: URL,
) -> None:
    async with detour(migrated_database) as way:
        app = create_app(Settings(_env_file=None, database_url=way.url))

        @app.get("/one")
        async def one(session: SessionDep) -> int:
            return await session.scalar(select(1)) or 0

        async with running(app) as client:
            assert (await client.get("/one")).json() == 1

            await way.interrupt()
            assert await statuses(client) == {("/one", 503), ("/health/ready", 503)}

            await way.resume()
            assert await statuses(client) == {("/one", 200), ("/health/ready", 200)}


async def statuses(client: AsyncClient) -> set[tuple[str, int]]:
    paths = ["/one", "/health/ready"] * 3
    return {(path, (await client.get(path)).status_code) for path in paths}
