"""The OpenAPI schema against the service, by schemathesis: what fits it is answered, what does not is refused."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
]


@pytest.fixture
def address(start: Any) -> Iterator[str]:
    """A service in an event loop of its own, for schemathesis is not asynchronous."""
    found: list[str] = []
    up, end = threading.Event(), threading.Event()

    async def run() -> None:
        async with start() as running:
            found.append(running.address)
            up.set()
            await asyncio.to_thread(end.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert up.wait(30)
    yield found[0]
    end.set()
    thread.join(30)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_service_keeps_to_its_schema(address: str, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [one.ok() for one in schema.get_all_operations()]
    assert {one.path for one in operations} == {"/retrieve", "/health", "/metrics"}
    if mode is GenerationMode.NEGATIVE:
        operations = [one for one in operations if one.path == "/retrieve"]  # the others take nothing to get wrong

    @given(st.one_of([one.as_strategy(generation_mode=mode) for one in operations]))
    @settings(max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def hold(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    hold()


def test_methods_that_are_not_offered_are_refused_as_such(address: str) -> None:
    with httpx2.Client(base_url=address) as client:
        answers = [client.get("/retrieve"), client.put("/retrieve"), client.post("/health"), client.delete("/metrics")]
    assert [one.status_code for one in answers] == [405] * 4
    assert all("allow" in one.headers for one in answers)
