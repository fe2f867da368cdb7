from __future__ import annotations

import errno
import hashlib

import pytest

from darnet.errors import ConfigurationError, ResourceError
from darnet.io import atomic_path, atomic_write, keep_beside, read_json, sha256_of, write_json


def test_written_whole_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a file ä.txt"
    atomic_write(path, "first")
    atomic_write(path, b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_exception_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    atomic_write(path, "old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the ne")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_a_resource_error(tmp_path):
    def fail() -> None:
        with atomic_path(tmp_path / "a", needed=123) as temporary:
            temporary.write_text("x")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ResourceError, match="123 bytes"):
        fail()


def test_left_overs_of_dead_processes_are_removed(tmp_path):
    path = tmp_path / "a"
    with atomic_path(path) as temporary:
        temporary.write_text("x")
        dead = temporary.with_name(temporary.name.replace(str(temporary.name.split("-")[-1]), "999999999.tmp"))
        dead.write_text("left over")
    assert dead.exists()
    atomic_write(path, "y")
    assert not dead.exists()


def test_json_round_trip_and_its_refusals(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"ä": [1, 2.5, None]})
    assert read_json(path) == {"ä": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"ä": [1, 2.5, None]}
    path.write_text('{"a": 1,\n "b": }')
    with pytest.raises(ConfigurationError, match="line 2"):
        read_json(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        read_json(path)
    with pytest.raises(ConfigurationError, match="no such file"):
        read_json(tmp_path / "none.json")


def test_hash_of_a_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 1_000_000)
    assert sha256_of(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_no_earlier_copy_is_replaced(tmp_path):
    path = tmp_path / "a.json"
    names = ("previous", "previous_2", "previous_3", "previous")
    for content, name in zip(("first", "second", "third", "first"), names, strict=True):
        path.write_text(content)
        assert keep_beside(path) == tmp_path / f"a.json.{name}"
    assert [(tmp_path / f"a.json.{name}").read_text() for name in names[:3]] == ["first", "second", "third"]
    assert len(list(tmp_path.iterdir())) == 4
