"""auto takes the freest GPUs, and what else fills a GPU is told before a model loads. The GPUs are written down."""

import pytest
from podium_local.__main__ import main
from podium_local.gpus import Gpu, NoGpus, choose, read_gpus, with_gpus

GB = 10**9
GPUS = [
    Gpu(0, "H100", 70 * GB, 80 * GB, (4321,)),
    Gpu(1, "H100", 1 * GB, 80 * GB),
    Gpu(2, "H100", 2 * GB, 80 * GB),
]


def test_auto_takes_the_freest_in_the_settings_order() -> None:
    wanted = {"ORCHESTRATOR_GPU": "auto", "RETRIEVAL_GPU": "auto"}
    assert choose(wanted, GPUS) == {"ORCHESTRATOR_GPU": "1", "RETRIEVAL_GPU": "2"}


def test_auto_keeps_off_a_gpu_that_is_named() -> None:
    assert choose({"ORCHESTRATOR_GPU": "auto", "RETRIEVAL_GPU": "1"}, GPUS)["ORCHESTRATOR_GPU"] == "2"


def test_fewer_gpus_than_settings_is_one_line() -> None:
    with pytest.raises(NoGpus, match=r"RETRIEVAL_GPU=auto: 1 GPU\(s\) here and none left"):
        choose({"ORCHESTRATOR_GPU": "auto", "RETRIEVAL_GPU": "auto"}, GPUS[:1])


def test_what_fills_a_gpu_is_named_with_its_use() -> None:
    told: list[str] = []
    chosen = with_gpus({"ORCHESTRATOR_GPU": "0", "RETRIEVAL_GPU": "auto"}, told.append, lambda: GPUS)
    assert chosen["RETRIEVAL_GPU"] == "1"
    assert "GPU 0 (H100): 70.0 of 80.0 GB used by process 4321; a model may not fit" in told[0]
    assert "may not fit" not in told[1]


def test_without_the_settings_nothing_is_asked() -> None:
    assert with_gpus({"ORCHESTRATOR_GPU": ""}, print, lambda: pytest.fail("asked")) == {}


def test_a_machine_without_a_driver_has_no_gpus() -> None:
    if gpus := read_gpus():
        pytest.skip(f"this machine has {len(gpus)} GPUs")
    with pytest.raises(NoGpus, match="0 GPU"):
        with_gpus({"RETRIEVAL_GPU": "auto"}, print)


def test_the_command_without_a_gpu_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    if read_gpus():
        pytest.skip("this machine has GPUs")
    assert main(["gpus"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "podium-local: ORCHESTRATOR_GPU=auto: 0 GPU(s) here and none left: name one that is to be shared"
    ]
