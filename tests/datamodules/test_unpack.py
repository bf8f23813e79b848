"""Archives: unpacked whole and inside the folder, or not at all."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from affect.errors import UserError
from datamodules.download.unpack import unpack

BIG = os.urandom(20_000)


def zipped(members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members: tarfile.TarInfo) -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(BIG[: member.size]))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 3, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


def zip_link() -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", zipped({"good.txt": b"g", "../evil.txt": b"e"})),
        ("a.zip", zipped({"good.txt": b"g", "/evil.txt": b"e"})),
        ("a.zip", zipped({"good.txt": b"g", "x\\..\\..\\evil.txt": b"e"})),
        ("a.zip", zipped({"good.txt": b"g", "C:\\evil.txt": b"e"})),
        ("a.zip", zip_link()),
        ("a.tar.gz", tarred(member("good.txt"), member("../evil.txt"))),
        ("a.tar.gz", tarred(member("good.txt"), member("link", tarfile.SYMTYPE, 0, "/etc"))),
        ("a.tar.gz", tarred(member("good.txt"), member("hard", tarfile.LNKTYPE, 0, "../evil.txt"))),
        ("a.tar.gz", tarred(member("good.txt"), member("pipe", tarfile.FIFOTYPE, 0))),
    ],
)
def test_archives_that_reach_outside_write_nothing(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    (folder := tmp_path / "in/side").mkdir(parents=True)
    with pytest.raises(UserError, match="nothing was unpacked"):
        unpack(tmp_path / name, folder)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / name]


def test_a_tar_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tarred(member("top", tarfile.DIRTYPE, 0), member("top/x/y.txt", size=5)))
    assert unpack(tmp_path / "a.tar.gz", tmp_path, ["x"]) == {"x/y.txt": 5}
    assert (tmp_path / "x/y.txt").read_bytes() == BIG[:5]


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_damaged_archives(tmp_path: Path, name: str) -> None:
    good = zipped({"x": BIG}) if name == "a.zip" else tarred(member("x", size=len(BIG)))
    flipped = good[:300] + bytes([good[300] ^ 1]) + good[301:]
    for content in (b"no archive", flipped, good[:5000]):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="cannot be unpacked"):
            unpack(tmp_path / name, tmp_path)
        assert not (tmp_path / "x").exists()
