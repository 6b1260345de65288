"""Events keep their shape, their levels and their promise to stay through any filter."""

import logging
from dataclasses import FrozenInstanceError, fields, replace
from typing import get_args

import pytest
from podium_contracts.events import (
    EVENT_TYPES,
    SCHEMA_VERSION,
    LlmCall,
    NewerSchema,
    TaskComplete,
    check_schema,
    event_to_json,
)
from podium_contracts.levels import LEVELS, PROFILE, USER_JUDGE, level_number, register_levels


def test_every_event_is_frozen_and_tagged_with_its_own_name():
    for name, cls in EVENT_TYPES.items():
        tag = next(f for f in fields(cls) if f.name == "type")
        assert tag.default == name
        assert cls.__dataclass_params__.frozen


def test_only_the_three_frame_events_pass_every_filter():
    assert {n for n, c in EVENT_TYPES.items() if c.ALWAYS} == {"run_start", "task_complete", "run_end"}


def test_a_line_leaves_out_what_is_not_known():
    event = LlmCall(
        run_id="r", task_id="t", eid=3, step=2, role="orchestrator", provider="vllm", model="m", duration_ms=5.0
    )
    line = event_to_json(event)
    assert next(iter(line)) == "type"
    assert "prefill_ms" not in line
    assert line["wait_ms"] == 0.0
    assert event_to_json(replace(event, duration_ms=6266.793855000287))["duration_ms"] == 6266.794
    for common in ("run_id", "task_id", "eid", "epoch", "step", "segment"):
        assert common in line
    of_no_task = LlmCall(run_id="r", role="judge", provider="vllm", model="m", duration_ms=5.0)
    assert event_to_json(of_no_task)["task_id"] is None
    with pytest.raises(FrozenInstanceError):
        event.step = 4  # type: ignore[misc]


def test_a_newer_schema_is_refused_and_todays_is_not():
    check_schema(SCHEMA_VERSION)
    with pytest.raises(NewerSchema, match=str(SCHEMA_VERSION + 1)):
        check_schema(SCHEMA_VERSION + 1)


def test_the_two_levels_lie_between_debug_and_info():
    register_levels()
    assert logging.DEBUG < PROFILE < USER_JUDGE < logging.INFO
    assert logging.getLevelName(PROFILE) == "PROFILE"
    assert logging.getLevelName(USER_JUDGE) == "USER_JUDGE"
    assert level_number("profile") == PROFILE
    with pytest.raises(ValueError, match="PROFILE"):
        level_number("LOUD")
    assert set(LEVELS) == {"DEBUG", "PROFILE", "USER_JUDGE", "INFO", "WARNING", "ERROR"}


def test_a_status_is_one_of_a_closed_set():
    hints = TaskComplete.__annotations__
    assert set(get_args(hints["status"])) == {"done", "error", "skipped"}
