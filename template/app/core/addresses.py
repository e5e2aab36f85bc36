"""Types of settings that are lists of addresses, separated by commas."""

import re
from ipaddress import ip_address, ip_network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d+)?")
HOST = re.compile(r"(\*\.)?[a-z0-9.-]+|\[[0-9a-f:.]+\]")


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _check_origin(value: str) -> str:
    if value != "*" and not ORIGIN.fullmatch(value):
        raise ValueError(f"an origin looks like https://www.example.com, not like {value}")
    for scheme, port in (("http://", ":80"), ("https://", ":443")):
        if value.startswith(scheme):
            value = value.removesuffix(port)  # browsers leave it out
    return value


def _check_host(value: str) -> str:
    if not HOST.fullmatch(value.lower()):
        raise ValueError(f"a host looks like www.example.com or *.example.com, not like {value}")
    return value.lower()


def _check_all(values: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in values and len(values) > 1:
        raise ValueError("* already means all: list nothing else")
    return values


def _check_proxy(value: str) -> str:
    if value != "*":
        try:
            ip_network(value) if "/" in value else ip_address(value)
        except ValueError:
            raise ValueError(
                f"a proxy is an IP address or a network, such as 10.0.0.0/8, not {value}"
            ) from None
    return value


CommaSeparated = (NoDecode, BeforeValidator(_split))
Origins = Annotated[tuple[Annotated[str, AfterValidator(_check_origin)], ...], *CommaSeparated]
Hosts = Annotated[tuple[Annotated[str, AfterValidator(_check_host)], ...], *CommaSeparated]
Proxies = Annotated[
    tuple[Annotated[str, AfterValidator(_check_proxy)], ...],
    AfterValidator(_check_all),
    *CommaSeparated,
]
