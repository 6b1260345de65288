"""What each member's pyproject.toml tells, and what its wheel holds."""

import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
MEMBERS = [path.parent for path in sorted([*ROOT.glob("services/*/pyproject.toml"), *ROOT.glob("*/pyproject.toml")])]
each_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda path: path.name)


def project(member: Path) -> dict[str, Any]:
    return tomllib.loads((member / "pyproject.toml").read_text())["project"]


@each_member
def test_every_field_of_a_published_package_is_there(member: Path) -> None:
    fields = project(member)
    assert {"description", "readme", "authors", "keywords", "urls", "license"} <= fields.keys()
    assert fields["classifiers"][0] == "Private :: Do Not Upload"
    assert fields["license-files"] == ["LICENSE"]
    assert (member / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@each_member
def test_every_dependency_has_a_lower_bound(member: Path) -> None:
    fields = project(member)
    for text in chain(fields["dependencies"], *fields.get("optional-dependencies", {}).values()):
        wanted = Requirement(text)
        assert wanted.name.startswith("podium-") or {part.operator for part in wanted.specifier} & {">=", "=="}, text


@each_member
def test_a_wheel_holds_license_and_description(member: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=member, check=True, capture_output=True, timeout=120)
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        licence, metadata = (
            next(name for name in wheel.namelist() if name.endswith(end))
            for end in (".dist-info/licenses/LICENSE", ".dist-info/METADATA")
        )
        assert wheel.read(licence) == (ROOT / "LICENSE").read_bytes()
        told = Parser().parsestr(wheel.read(metadata).decode())
    assert told["License-Expression"] == "Apache-2.0"
    assert "Private :: Do Not Upload" in (told.get_all("Classifier") or [])
    assert project(member)["name"] in told.get_payload()
