"""Schemas of requests and responses."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from app.core.auth import Email, NewPassword
from app.users.models import Role

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class UserCreate(BaseModel):
    """A registration. The token of the mail contains the address and the role."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=2048)
    password: NewPassword
    name: Name


class ProfileUpdate(BaseModel):
    """What users can change of themselves."""

    model_config = ConfigDict(extra="forbid")

    name: Name


class AccessUpdate(BaseModel):
    """What admins can change of users."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    is_active: bool | None = None


class Invitation(BaseModel):
    """Who is invited, and with which role."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    role: Role = Role.USER


class UserRead(BaseModel):
    """A user, as admins and the user see them."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    email: str
    name: str
    role: str
    is_active: bool
    created_at: datetime


class UserPage(BaseModel):
    """A page of users."""

    items: list[UserRead]
    total: int = Field(description="Number of users on all pages.")
    limit: int
    offset: int


class UserQuery(BaseModel):
    """Filters, order and pagination of a list of users."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=100)
    offset: int = Field(default=0, ge=0)
    order_by: Literal["id", "-id", "email", "-email", "name", "-name"] = Field(
        default="id", description="A leading `-` sorts in descending order."
    )
    email: Email | None = None
    role: Role | None = None
    is_active: bool | None = None
