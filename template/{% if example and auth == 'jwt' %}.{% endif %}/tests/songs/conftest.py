"""In these tests, `client` is an admin's client, because an admin can use every route.

`test_access.py` tests what others can do.
"""

import pytest
from httpx2 import AsyncClient


@pytest.fixture
def client(admin_client: AsyncClient) -> AsyncClient:
    """HTTP client of an admin."""
    return admin_client
