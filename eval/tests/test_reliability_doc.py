import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_test_that_the_table_of_faults_names_is_there() -> None:
    named = re.findall(r"`(test_\w+)`", (HERE.parents[1] / "docs" / "reliability.md").read_text("utf-8"))
    there = set[str]()
    root = HERE.parents[1]
    places = (HERE, root / "tests", *root.glob("services/*/tests"))
    for path in [path for place in places for path in place.rglob("test_*.py")]:
        there |= set(re.findall(r"def (test_\w+)", path.read_text("utf-8")))
    assert len(named) > 20
    assert sorted(set(named) - there) == []
