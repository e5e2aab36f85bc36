"""Fixtures. Those of `tests.core` can be overridden here."""

import pytest

pytest_plugins = ["tests.core"]


@pytest.fixture(scope="session")
def settings_values() -> dict[str, str]:
    """Values for settings without a default, for example `{"token_secret": "for tests"}`."""
    return {}
