import pytest

from app.core import CoreSettings
from app.core.dialect import DRIVER


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "oracle://localhost/x"),
        ("DATABASE_URL", f"{DRIVER}://user:hunter2@host:port/name"),
        ("DATABASE_POOL_SIZE", "0"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_wrong_setting_prints_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=rf"^{name} is invalid: .*\.$") as error:
        CoreSettings.load()
    assert "hunter2" not in str(error.value)


@pytest.mark.usefixtures("database_url")
def test_settings_do_not_show_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{DRIVER}://user:hunter2@localhost/name")

    assert "hunter2" not in repr(CoreSettings.load())
