"""What every section of stats.json is made of: typed structures, which its JSON Schema is generated from."""

from typing import Annotated

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Interval = tuple[float, float]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of stats.json. Every field is written, None as null."""
