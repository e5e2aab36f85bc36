"""Tables of the feature."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.core import Base


class Invoice(Base):
    """An invoice of a customer."""

    __tablename__ = "invoices"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer: Mapped[str] = mapped_column(String(100), unique=True)
    cents: Mapped[int]
