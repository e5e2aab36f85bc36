import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from tests.running import running

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


@pytest.mark.usefixtures("own_database")
async def test_a_server_finds_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    # The logs go to pytest instead.
    monkeypatch.setattr("app.logs.configure_logging", lambda _: None)
    entrypoint = tomllib.loads(PYPROJECT.read_text())["tool"]["fastapi"]["entrypoint"]
    module, _, name = entrypoint.partition(":")
    monkeypatch.delitem(sys.modules, module, raising=False)

    async with running(getattr(import_module(module), name)) as client:
        assert (await client.get("/health/ready")).status_code == 200
