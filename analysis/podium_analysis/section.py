"""What every section of stats.json is made of: typed structures, which its JSON Schema is generated from."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Interval = tuple[float, float]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of stats.json. Every field is written, None as null.

    Fields can be read by their name in the file too, for those who take such a name from outside.
    """

    def __getitem__(self, name: str) -> Any:
        for attribute, encoded in zip(self.__struct_fields__, self.__struct_encode_fields__, strict=True):
            if encoded == name:
                return getattr(self, attribute)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__struct_encode_fields__)

    def get(self, name: str, default: Any = None) -> Any:
        """The field of that name; default where there is none."""
        return self[name] if name in self.__struct_encode_fields__ else default

    def keys(self) -> tuple[str, ...]:
        """The names of the fields as the file has them."""
        return self.__struct_encode_fields__

    def items(self) -> list[tuple[str, Any]]:
        """Names and values."""
        return [(name, self[name]) for name in self]
