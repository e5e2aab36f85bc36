"""The routes of the feature."""

from fastapi import APIRouter, Request
from markupsafe import escape
from pydantic import BaseModel

from app.database import SessionDep
from app.invoices.models import Invoice

router = APIRouter(prefix="/invoices", tags=["invoices"])


class InvoiceData(BaseModel):
    """An invoice to be stored."""

    customer: str
    cents: int


@router.post("", status_code=201)
async def create_invoice(data: InvoiceData, session: SessionDep, request: Request) -> str:
    """Store an invoice."""
    session.add(Invoice(**data.model_dump()))
    await session.flush()
    currency = request.app.state.settings.invoice_currency
    return f"{escape(data.customer)} owes {data.cents / 100:.2f} {currency}."
