import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy import select

PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


@pytest.mark.committed
@pytest.mark.usefixtures("session_factory")
async def test_entry_point_provides_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    # Leave the logging configuration to pytest.
    monkeypatch.setattr("app.core.configure_logging", lambda _: None)
    entrypoint = tomllib.loads(PYPROJECT.read_text())["tool"]["fastapi"]["entrypoint"]
    module, _, name = entrypoint.partition(":")
    monkeypatch.delitem(sys.modules, module, raising=False)

    app = getattr(import_module(module), name)

    async with app.router.lifespan_context(app), app.state.read_session_factory() as session:
        assert await session.scalar(select(1)) == 1
