"""The command line that benchmarks of a data set share."""

from __future__ import annotations

import json

import pytest

from benchmarks.on_data import print_table
from darnet.errors import ConfigurationError, ExitCode


def run(monkeypatch, measure, *flags):
    monkeypatch.setattr("sys.argv", ["benchmark", "-d", "7", *map(str, flags)])
    print_table("What is measured.\n\nMore.", measure, lambda rows: f"{len(rows)} rows")


def test_rows_are_printed_and_written(monkeypatch, capsys, tmp_path):
    asked = []
    path = tmp_path / "rows.json"
    run(monkeypatch, lambda *data: asked.append(data) or [{"class": "liver"}], "--root", tmp_path, "-o", path)
    assert asked == [("7", tmp_path)]
    assert capsys.readouterr().out == "1 rows\n"
    assert json.loads(path.read_text()) == [{"class": "liver"}]


def test_an_error_that_is_foreseen_has_no_traceback(monkeypatch, capsys):
    def measure(data, root):
        raise ConfigurationError("there is no plan", where="plans.json", remedy="plan it")

    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, measure)
    assert stop.value.code == ExitCode.CONFIGURATION
    said = capsys.readouterr()
    assert said.out == "" and "there is no plan" in said.err and "plan it" in said.err
