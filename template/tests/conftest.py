"""Fixtures. Override those of `tests.core` here."""

import pytest

pytest_plugins = ["tests.core"]


@pytest.fixture(scope="session")
def settings_values() -> dict[str, str]:
    """Test values for settings without a default, such as `{"token_secret": "for tests"}`."""
    return {}
