import pytest
from httpx2 import AsyncClient
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.invoices.models import Invoice
from tests.core import Cli


async def test_create(client: AsyncClient, session: AsyncSession) -> None:
    response = await client.post("/invoices", json={"customer": "<Ada>", "cents": 1250})

    assert response.json() == "&lt;Ada&gt; owes 12.50 EUR."
    assert (await session.scalars(select(Invoice.cents))).all() == [1250]


async def test_second_invoice_for_a_customer_returns_409(client: AsyncClient) -> None:
    await client.post("/invoices", json={"customer": "Ada", "cents": 1})

    response = await client.post("/invoices", json={"customer": "Ada", "cents": 2})

    assert response.status_code == 409


async def test_command_prints_the_currency(run: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run("invoices", "currency") == 0
    assert capsys.readouterr().out == "EUR\n"
