"""Problem details (RFC 9457): bodies of error responses, and errors that features define."""

from collections import defaultdict
from collections.abc import Mapping
from http.client import responses
from typing import Any, ClassVar, Literal, get_origin, get_type_hints

from pydantic import BaseModel, Field, create_model

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """Body of an error response (RFC 9457)."""

    type: str = Field(default="about:blank", description="URI that identifies the problem type.")
    title: str = Field(description="Short description of the problem type.")
    status: int = Field(description="HTTP status code.")
    detail: str = Field(description="Explanation specific to this request.")
    request_id: str | None = Field(
        default=None, description="ID of the request in the service's logs."
    )
    errors: list[dict[str, Any]] | None = Field(
        default=None, description="Validation errors of the request."
    )


class ProblemError(Exception):
    """An error that a handler raises, and that is answered with problem details.

    Subclasses set the attributes below. Annotations without a value declare further
    members of the response:

        class SoldOutError(ProblemError):
            status = 409
            type = "https://example.com/problems/sold-out"
            detail = "The concert is sold out."
            waiting: int

        raise SoldOutError(waiting=17)

    Args:
        detail: explanation specific to this request, instead of the class's.
        members: values of the further members.

    Raises:
        TypeError: a member is unknown.
        pydantic.ValidationError: a member is missing or has the wrong type.
    """

    status: ClassVar[int] = 400
    type: ClassVar[str] = "about:blank"
    title: ClassVar[str | None] = None
    """Short description of the type; by default, the reason phrase of the status."""
    detail: str = "The request could not be processed."
    headers: Mapping[str, str] | None = None
    """Headers of the response."""

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        self.detail = detail or self.detail
        model = _model(type(self))
        if unknown := members.keys() - model.model_fields.keys():
            raise TypeError(f"{type(self).__name__} has no member {', '.join(sorted(unknown))}.")
        self.problem = model(detail=self.detail, **members)
        vars(self).update(members)
        super().__init__(self.detail)


_models: dict[type[ProblemError], type[Problem]] = {}


def _model(error: type[ProblemError]) -> type[Problem]:
    """Return the model of an error's response."""
    if error not in _models:
        title = error.title or reason_phrase(error.status)
        fields: dict[str, Any] = {
            name: (Literal[value], value)
            for name, value in (("type", error.type), ("title", title), ("status", error.status))
        }
        for name, kind in get_type_hints(error).items():
            if name not in ProblemError.__annotations__ and get_origin(kind) is not ClassVar:
                fields[name] = (kind, getattr(error, name, ...))
        _models[error] = create_model(error.__name__, __base__=Problem, **fields)
    return _models[error]


def problems(*errors: type[ProblemError]) -> dict[int | str, dict[str, Any]]:
    """Describe errors in OpenAPI: `@router.post("", responses=problems(SoldOutError))`."""
    by_status = defaultdict(list)
    for error in errors:
        by_status[error.status].append(_model(error))
    return {status: _describe(*models) for status, models in by_status.items()}


def reason_phrase(status: int) -> str:
    """Return the reason phrase of an HTTP status."""
    return responses.get(status, "Error")


def _describe(*models: type[Problem]) -> dict[str, Any]:
    schemas = [_schema(model) for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"description": "Error", "content": {MEDIA_TYPE: {"schema": schema}}}


def _schema(model: type[Problem]) -> dict[str, Any]:
    """Return a JSON schema without references, which would point outside of it in OpenAPI."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def resolve(part: Any) -> Any:
        if isinstance(part, list):
            return [resolve(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return resolve(definitions[part["$ref"].rpartition("/")[2]])
        return {key: resolve(value) for key, value in part.items()}

    resolved: dict[str, Any] = resolve(schema)
    return resolved


RESPONSES: dict[int | str, dict[str, Any]] = {"default": _describe(Problem)}
"""OpenAPI description of the error responses of all operations."""
