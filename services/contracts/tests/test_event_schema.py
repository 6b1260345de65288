"""The schema of events.jsonl and docs/events.md are the events' classes in other words."""

import json
from dataclasses import dataclass
from pathlib import Path

import podium_contracts
import pytest
from podium_contracts.event import Event, Stamp, Use, event_fields, field_texts
from podium_contracts.event_schema import events_schema, field_tables
from podium_contracts.events import EVENT_TYPES, LlmCall

ROOT = Path(__file__).parents[3]


def test_the_stored_schema_and_page_are_the_generated_ones() -> None:
    stored = (Path(podium_contracts.__file__).parent / "events_schema.json").read_text(encoding="utf-8")
    assert json.loads(stored) == events_schema(), "run `make schemas`"
    assert (ROOT / "docs/events.md").read_text(encoding="utf-8") == field_tables(), "run `make schemas`"


def test_a_field_tells_its_sort_unit_values_and_use() -> None:
    fields = {field.name: field for field in event_fields(LlmCall)}
    assert (fields["queue_ms"].sort, fields["queue_ms"].unit, fields["queue_ms"].optional) == ("number", "ms", True)
    assert (fields["prompt_tokens"].sort, fields["prompt_tokens"].use) == ("whole", Use.QUANTITY)
    assert fields["role"].values == ("orchestrator", "expert", "judge")
    assert fields["role"].optional is False
    assert fields["error_message"].use is Use.LOG_ONLY
    assert fields["rejudge"].sort == "flag"
    assert field_texts(LlmCall)["itl_ms"] == "Mean time between output tokens."
    assert field_texts(LlmCall)["step"] == "The orchestrator's turn within the episode, from 1."


@pytest.mark.parametrize("cls", EVENT_TYPES.values())
def test_what_an_event_needs_are_its_fields(cls: type[Event]) -> None:
    names = {field.name for field in (*event_fields(cls), *event_fields(Stamp)) if field.use is not Use.LOG_ONLY}
    assert set(cls.NEEDS) <= names


def test_a_field_of_another_type_is_refused() -> None:
    @dataclass(kw_only=True)
    class Odd:
        places: list[int]

    with pytest.raises(TypeError, match="places"):
        event_fields(Odd)
