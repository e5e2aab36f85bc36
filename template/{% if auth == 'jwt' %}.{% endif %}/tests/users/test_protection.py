"""Every route requires a user, unless it is listed."""

from pathlib import Path

from fastapi import FastAPI

from tests.core.auth.routes import unprotected

PUBLIC = Path(__file__).with_name("public_routes.txt").read_text(encoding="utf-8").splitlines()


def test_routes_require_a_user_unless_listed(app: FastAPI) -> None:
    found = unprotected(app) - set(PUBLIC)

    assert not found, "Protect these routes, or add them to public_routes.txt."
