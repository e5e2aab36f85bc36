"""`.env.example` lists every setting and its default."""

import re
from pathlib import Path

import pytest

from app.core import EnvironmentSettings, features
from app.settings import Settings

EXAMPLE = Path(__file__).parents[2] / ".env.example"


def example() -> list[tuple[bool, str, str]]:
    """Return for each setting whether it is commented out, its name and its value."""
    lines = re.findall(
        r"^(# )?([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [(bool(comment), name, value) for comment, name, value in lines]


def settings_classes() -> list[type[EnvironmentSettings]]:
    return [Settings, *features.settings_classes()]


def test_env_example_lists_every_setting() -> None:
    names = {name.upper() for kind in settings_classes() for name in kind.model_fields}

    assert {name for _, name, _ in example()} == names


def test_commented_out_values_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for _, name, value in example():
        if value:
            monkeypatch.setenv(name, value)
    commented_out = {name.lower(): value for comment, name, value in example() if comment}

    for settings_class in settings_classes():
        settings = settings_class.load()
        for name, field in settings_class.model_fields.items():
            default = field.get_default(call_default_factory=True)
            if commented_out.get(name):
                assert getattr(settings, name) == default
            elif name in commented_out:
                assert not default
