import re
from pathlib import Path

import pytest

from app.engine import DRIVER
from app.settings import load_settings, settings_class

EXAMPLE = Path(__file__).parents[1] / ".env.example"


@pytest.mark.usefixtures("no_settings")
def test_the_example_has_every_setting_and_its_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fields = settings_class().model_fields
    lines = re.findall(r"^(# )?([A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)

    assert {name for _, name, _ in lines} == {name.upper() for name in fields}
    Path(tmp_path, ".env").write_text("\n".join(f"{name}={value}" for _, name, value in lines))
    settings = load_settings()
    for comment, name, _ in lines:
        if comment:
            default = fields[name.lower()].get_default(call_default_factory=True)
            assert getattr(settings, name.lower()) == default


@pytest.mark.usefixtures("own_database")
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
def test_a_wrong_setting_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=rf"^{name} is wrong: .*\.$") as error:
        load_settings()
    assert "hunter2" not in str(error.value)


@pytest.mark.usefixtures("own_database")
def test_settings_do_not_show_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{DRIVER}://user:hunter2@localhost/name")

    assert "hunter2" not in repr(load_settings())
