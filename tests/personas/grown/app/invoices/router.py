"""Routes of the feature."""

from typing import Annotated

from fastapi import APIRouter, Depends
from markupsafe import escape
from pydantic import BaseModel

from app.core import SessionDep
from app.invoices.models import Invoice
from app.settings import Settings

router = APIRouter(prefix="/invoices", tags=["invoices"])


class InvoiceData(BaseModel):
    """Data for a new invoice."""

    customer: str
    cents: int


@router.post("", status_code=201)
async def create_invoice(
    data: InvoiceData, session: SessionDep, settings: Annotated[Settings, Depends(Settings.of)]
) -> str:
    """Create an invoice."""
    session.add(Invoice(**data.model_dump()))
    await session.flush()
    return f"{escape(data.customer)} owes {data.cents / 100:.2f} {settings.invoice_currency}."
