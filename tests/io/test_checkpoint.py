from __future__ import annotations

import pytest
import torch

from darnet.errors import ConfigurationError
from darnet.io import load_checkpoint, pack_checkpoint, read_meta, save_checkpoint


def tensors(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((3, 4), value), "count": torch.tensor([7], dtype=torch.int64)}


def test_round_trip(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, tensors(1.5), {"iteration": 3, "labels": {"liver": 1}})
    found, meta = load_checkpoint(path)
    assert meta == {"iteration": 3, "labels": {"liver": 1}}
    assert torch.equal(found["weight"], tensors(1.5)["weight"])
    assert found["count"].dtype == torch.int64


def test_the_same_values_give_the_same_bytes(tmp_path):
    meta = {"iteration": 3, "labels": {"liver": 1, "größer": 2}}
    written = {pack_checkpoint(tensors(1.5), meta) for _ in range(30)}
    assert len(written) == 1
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(written.pop())
    assert load_checkpoint(path)[1] == read_meta(path) == meta


def damage(path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[:-5]
    elif how == "flip":
        data[-3] ^= 4
    elif how == "empty":
        data = bytearray()
    elif how == "pickle":
        data = bytearray(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["cut", "flip", "empty", "pickle"])
def test_a_damaged_one_gives_way_to_the_previous(tmp_path, how):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, tensors(1), {"iteration": 1})
    save_checkpoint(path, tensors(2), {"iteration": 2})
    damage(path, how)
    said: list[str] = []
    found, meta = load_checkpoint(path, notice=said.append)
    assert meta["iteration"] == 1
    assert float(found["weight"][0, 0]) == 1
    assert "previous" in said[0]


@pytest.mark.parametrize("how", ["cut", "flip", "empty", "pickle"])
def test_a_damaged_one_alone_is_refused(tmp_path, how):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, tensors(1), {"iteration": 1})
    damage(path, how)
    with pytest.raises(ConfigurationError, match="damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize("how", ["cut", "empty", "pickle"])
def test_values_without_tensors(tmp_path, how):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, tensors(1), {"iteration": 1})
    assert read_meta(path) == {"iteration": 1}
    path.write_bytes(path.read_bytes()[:30] if how == "cut" else b"" if how == "empty" else b"\x80\x04cos\nsystem\n")
    with pytest.raises(ConfigurationError, match="no checkpoint that can be read"):
        read_meta(path)
    path.unlink()
    save_checkpoint(path, tensors(1), {"iteration": 1})
    save_checkpoint(path, tensors(2), {"iteration": 2})
    path.write_bytes(b"")
    assert read_meta(path) == {"iteration": 1}


def test_a_missing_one_names_the_remedy(tmp_path):
    with pytest.raises(ConfigurationError, match="darnet_train"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_failing_write_keeps_the_former(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, tensors(1), {"iteration": 1})

    def fail(*_: object) -> None:
        raise OSError("torn")

    monkeypatch.setattr("darnet.io.files._flush", fail)
    with pytest.raises(OSError, match="torn"):
        save_checkpoint(path, tensors(2), {"iteration": 2})
    monkeypatch.undo()
    assert load_checkpoint(path)[1]["iteration"] == 1
