from sqlalchemy import text

from app.database import SessionDep
from app.main import create_app
from app.settings import Settings
from tests.database_server import DEADLOCK
from tests.running import running


async def test_whoever_lost_a_deadlock_is_to_try_again(settings: Settings) -> None:
    app = create_app(settings)

    @app.post("/deadlock")
    async def deadlock(session: SessionDep) -> None:
        await session.execute(text(DEADLOCK))

    async with running(app) as client:
        response = await client.post("/deadlock")

    assert response.status_code == 503
    assert response.headers["Retry-After"]
