"""Port of the database server."""

import pytest
from pydantic import ValidationError

from app.core import CoreSettings
from app.core.dialect import DRIVER


@pytest.mark.parametrize("port", [1, 3306, 5432, 65535])
def test_each_port_is_accepted(port: int) -> None:
    url = f"{DRIVER}://localhost:{port}/name"

    assert CoreSettings.model_validate({"database_url": url}).database_url.port == port


@pytest.mark.parametrize("port", [0, 65536])
def test_invalid_port_is_refused(port: int) -> None:
    url = f"{DRIVER}://localhost:{port}/name"

    with pytest.raises(ValidationError, match="its port must be between 1 and 65535"):
        CoreSettings.model_validate({"database_url": url})
