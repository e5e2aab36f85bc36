from sqlalchemy import text

from app.core import CoreSettings
from app.core.database import SessionDep
from tests.proofs.detour import DEADLOCK
from tests.proofs.kit import create_app, running


async def test_deadlock_returns_503(settings: CoreSettings) -> None:
    app = create_app(settings)

    @app.post("/deadlock")
    async def deadlock(session: SessionDep) -> None:
        await session.execute(text(DEADLOCK))

    async with running(app) as client:
        response = await client.post("/deadlock")

    assert response.status_code == 503
    assert response.headers["Retry-After"]
