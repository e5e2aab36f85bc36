"""The service's configuration: environment variables, and `.env` for development."""

from typing import Any, Literal

from pydantic import Field, ValidationError, create_model, field_validator
from pydantic_settings import SettingsConfigDict

from app import features
from app.engine import DatabaseSettings


class Settings(DatabaseSettings):
    """Everything that differs between deployments.

    Each field is read from the environment variable of the same name in upper
    case. `.env.example` lists all of them.
    """

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"
    max_body_size: int = Field(default=1024 * 1024, gt=0)
    """Bytes; a longer request body is answered with 413."""

    @field_validator("log_level", mode="before")
    @classmethod
    def _accept_lower_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value


def settings_class() -> type[Settings]:
    """Return `Settings` with the fields of each feature's `Settings`.

    Raises:
        SystemExit: two of these classes have a field of the same name.
    """
    bases: list[type[Any]] = [*features.settings_classes(), Settings]
    names = [name for base in bases for name in base.model_fields]
    for name in names:
        if names.count(name) > 1:
            raise SystemExit(f"{name.upper()} is in two settings classes: rename one of them.")
    return create_model("Settings", __base__=tuple(bases))


def load_settings() -> Settings:
    """Read the settings of this process.

    Raises:
        SystemExit: a variable is missing or wrong; the message names each of them.
    """
    try:
        return settings_class()()
    except ValidationError as error:
        raise SystemExit("\n".join(explain(error))) from None


def explain(error: ValidationError) -> list[str]:
    """Say in one sentence for each variable what is wrong with it."""
    sentences = []
    for problem in error.errors():
        name = str(problem["loc"][0]).upper()
        if problem["type"] == "missing":
            sentences.append(
                f"{name} is not set: set it in the environment or in .env (see .env.example)."
            )
        else:
            sentences.append(f"{name} is wrong: {problem['msg'].removeprefix('Value error, ')}.")
    return sentences
