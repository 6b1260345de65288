"""What run.json records of the settings beside their values, by which two runs differ."""

import hashlib
from collections.abc import Iterator
from typing import Any, Final, cast

from pydantic import SecretStr

from podium_eval.settings.read import Settings

_COST: Final = 2**14
"""Of scrypt: about 0.05 s a secret, so that nobody tries many."""


def changed_settings(settings: Settings) -> list[str]:
    """Names of the settings whose value is not the default, in the order of the fields."""
    return [
        name
        for name, field in type(settings).model_fields.items()
        if not field.exclude and getattr(settings, name) != field.get_default(call_default_factory=True)
    ]


def secret_marks(settings: Settings) -> dict[str, str]:
    """Of each secret that is set 16 bits of a slow hash: whether it changed between runs, and nothing to guess it by.

    Names are those of run.json's settings; a key of an added provider is `added_keys.NAME`.
    """
    return {
        name: hashlib.scrypt(secret.get_secret_value().encode(), salt=name.encode(), n=_COST, r=8, p=1, dklen=2).hex()
        for name, secret in _secrets(settings)
    }


def _secrets(settings: Settings) -> Iterator[tuple[str, SecretStr]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield name, value
        elif isinstance(value, dict):
            for key, inner in cast(dict[str, Any], value).items():
                if isinstance(inner, SecretStr):
                    yield f"{name}.{key}", inner
