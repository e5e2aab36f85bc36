"""Errors that features define: their responses, and their description in OpenAPI."""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import BaseModel, ValidationError

from app.core import CoreSettings, ProblemError, problems
from tests.proofs.kit import create_app, running


class Area(StrEnum):
    STALLS = "stalls"


class Seat(BaseModel):
    area: Area
    row: int


class SoldOutError(ProblemError):
    status = 409
    type = "https://example.com/problems/sold-out"
    title = "Sold out"
    detail = "The concert is sold out."
    waiting: int
    last: Seat | None = None


class ClosedError(ProblemError):
    status = 409
    type = "https://example.com/problems/closed"
    headers = {"Retry-After": "60"}  # noqa: RUF012


class VeryClosedError(ClosedError):
    reason: str


@pytest.fixture
async def client(settings: CoreSettings) -> AsyncIterator[AsyncClient]:
    app = create_app(settings)
    add_routes(app)
    async with running(app) as client:
        yield client


def add_routes(app: FastAPI) -> None:
    @app.post("/tickets", responses=problems(SoldOutError, ClosedError))
    async def buy() -> None:
        raise SoldOutError(waiting=17, last=Seat(area=Area.STALLS, row=3))

    @app.post("/visits", responses=problems(VeryClosedError))
    async def visit() -> None:
        raise VeryClosedError("Closed on Mondays.", reason="rest")

    @app.post("/plain")
    async def plain() -> None:
        raise ProblemError


async def test_problem_has_the_members_of_its_class(client: AsyncClient) -> None:
    response = await client.post("/tickets", headers={"X-Request-ID": "abc"})

    assert response.status_code == 409
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": "https://example.com/problems/sold-out",
        "title": "Sold out",
        "status": 409,
        "detail": "The concert is sold out.",
        "request_id": "abc",
        "waiting": 17,
        "last": {"area": "stalls", "row": 3},
    }


async def test_problem_of_a_subclass_has_its_own_detail_and_inherits_the_rest(
    client: AsyncClient,
) -> None:
    response = await client.post("/visits")

    problem = response.json()
    assert (problem["status"], problem["type"]) == (409, "https://example.com/problems/closed")
    assert (problem["detail"], problem["reason"]) == ("Closed on Mondays.", "rest")
    assert problem["title"] == "Conflict"
    assert response.headers["Retry-After"] == "60"


async def test_problem_without_a_subclass_is_a_bad_request(client: AsyncClient) -> None:
    assert (await client.post("/plain")).status_code == 400


def test_members_are_attributes_and_checked() -> None:
    error = SoldOutError(waiting=17)

    assert error.waiting == 17
    assert error.last is None
    assert str(error) == "The concert is sold out."
    with pytest.raises(ValidationError):
        SoldOutError()
    with pytest.raises(ValidationError):
        SoldOutError(waiting="many")
    with pytest.raises(TypeError, match="SoldOutError has no member typo"):
        SoldOutError(waiting=1, typo=2)


async def test_problems_are_documented_on_their_route(client: AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    def schema(path: str) -> Any:
        answers = document["paths"][path]["post"]["responses"]
        return answers["409"]["content"]["application/problem+json"]["schema"]

    sold_out, closed = schema("/tickets")["anyOf"]
    assert sold_out["properties"]["type"]["const"] == SoldOutError.type
    assert "waiting" in sold_out["required"]
    assert "last" not in sold_out["required"]
    assert closed["properties"]["type"]["const"] == ClosedError.type
    assert schema("/visits")["properties"]["reason"]["type"] == "string"
    assert "stalls" in str(sold_out)
    assert "$ref" not in str(sold_out)
