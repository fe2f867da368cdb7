"""The table of docs/reliability.md names tests that are there, and every test of a fault has its row."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "reliability.md"


def test_every_row_has_its_test_and_every_test_its_row():
    sources = [path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py")]
    tests = {int(number) for source in sources for number in re.findall(r"^def test_(\d\d)_", source, re.M)}
    rows = re.findall(r"^\| (\d+) \|.*\| `([^`]+)`", TABLE.read_text(encoding="utf-8"), re.M)
    numbers = [int(number) for number, _ in rows]
    assert len(set(numbers)) == len(numbers)
    assert set(numbers) == tests == set(range(1, 55))
    assert all(int(name[5:7]) == int(number) for number, name in rows if name.startswith("test_"))
