import os
import socket
from urllib.parse import urlsplit

import pytest
from podium_local.ports import addresses, holder


def test_ports_that_are_set_are_taken() -> None:
    environment = {"SERVE_PORT": "2406", "RETRIEVAL_PORT": "2401", "SANDBOX_PORT": "2402"}
    assert addresses(environment, auto=False) == {
        "ORCHESTRATOR_URL": "http://127.0.0.1:2406/v1",
        "RETRIEVAL_URL": "http://127.0.0.1:2401",
        "SANDBOX_URL": "http://127.0.0.1:2402",
    }


def test_an_address_that_is_set_wins() -> None:
    environment = {"SERVE_PORT": "2406", "ORCHESTRATOR_URL": "http://127.0.0.1:9/v1"}
    assert addresses(environment, auto=False) == {}
    assert addresses({}, auto=False) == {}


@pytest.mark.parametrize("port", ["0", "65536", "-1", "²", "x"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    with pytest.raises(ValueError, match=f"RETRIEVAL_PORT={port} is no port"):
        addresses({"RETRIEVAL_PORT": port}, auto=False)


def test_free_ports_differ_and_a_reused_service_stays() -> None:
    found = addresses({"SANDBOX_URL": "http://127.0.0.1:7"}, auto=True, reuse={"sandbox"})
    assert set(found) == {"ORCHESTRATOR_URL", "RETRIEVAL_URL"}
    ports = {urlsplit(url).port for url in found.values()}
    assert len(ports) == 2
    for port in ports:
        with socket.create_server(("127.0.0.1", port or 0)):
            pass


def test_who_holds_a_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert f"by process {os.getpid()} (" in holder(url)
    assert holder("http://127.0.0.1:1") == ""
