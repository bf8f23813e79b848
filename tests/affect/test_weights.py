"""Where weights come from that lie nowhere on this disk: W&B's artifacts, and the names of published ones."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import wandb
from safetensors.torch import save_file

from affect.encoders import BandMLP
from affect.errors import UserError
from affect.transfer.weights import find, read


def _api(folder: Path) -> object:
    """W&B's public API with one artifact in it."""

    class Api:
        def artifact(self, name: str) -> object:
            if name != "me/affect/voice:latest":
                raise ValueError(f"artifact {name} not found")
            return SimpleNamespace(download=lambda: str(folder))

    return Api


def test_an_artifact_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "audio.safetensors")
    monkeypatch.setattr(wandb, "Api", _api(tmp_path))
    found = find("wandb:me/affect/voice:latest", "key", "audio", 0, "f", [])
    assert found.file == tmp_path / "audio.safetensors"
    assert torch.equal(read(found, BandMLP.__new__(BandMLP), "key")["w"], torch.ones(2))
    with pytest.raises(UserError, match="artifact me/affect/face:v1 not found") as caught:
        find("wandb:me/affect/face:v1", "key", "audio", 0, "f", [])
    assert "wandb login" in caught.value.remedy


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
        save_file({"w": torch.full((2,), value)}, tmp_path / f"{name}.safetensors")
    a, b, c = (find(str(tmp_path / f"{n}.safetensors"), "key", "eeg", 0, "f", []).digest for n in "abc")
    assert a == b != c


def test_a_state_dict_in_a_pth_is_read(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.ones(3)}}, tmp_path / "w.pth")
    found = find(str(tmp_path / "w.pth"), "key", "eeg", 0, "f", [])
    assert set(read(found, BandMLP.__new__(BandMLP), "key")) == {"w"}
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="names → tensors"):
        read(found, BandMLP.__new__(BandMLP), "key")
