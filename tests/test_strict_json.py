from __future__ import annotations

import pytest

from darnet.errors import ConfigurationError
from darnet.strict_json import parse_json, read_json


@pytest.mark.parametrize(
    ("text", "key", "line"),
    [
        ('{"low": 1,\n "low": 2}', "low", 2),
        ('{"source": {"low": 1},\n "target": {"low": 2,\n "high": 3,\n "low": 4}}', "low", 4),
        ('{"why": "\\"low\\": {1",\n "low": "},",\n "of": [{"low": 1}, {"low": 2}],\n\n "low" : 3}', "low", 5),
        ('{"a": 1,\n "\\u0061": 2}', "a", 2),
        ('{"outer": {"in": 1},\n "outer": {"in": 1, "in": 2}}', "outer", 2),
    ],
)
def test_a_key_twice_is_named_with_its_line(tmp_path, text, key, line):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        read_json(tmp_path / "a.json")
    assert refused.value.what == f'the key "{key}" is there twice'
    assert refused.value.where == f"{tmp_path / 'a.json'}, line {line}"
    assert refused.value.remedy and "remove" in refused.value.remedy
    for content in (text, text.encode(), text.encode("utf-16")):
        with pytest.raises(ValueError, match=f'line {line}: the key "{key}" is there twice'):
            parse_json(content)


def test_the_same_key_in_several_objects():
    assert parse_json('{"a": {"low": 1}, "b": [{"low": 2}, {"low": "low"}]}') == {
        "a": {"low": 1},
        "b": [{"low": 2}, {"low": "low"}],
    }
