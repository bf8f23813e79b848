"""scripts/download.py against a server on this machine: resuming, checking, unpacking, refusing."""

import errno
import hashlib
import io
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from datamodules.download.sources import read_sources
from scripts.download import main

BIG = os.urandom(700_000)


@dataclass
class Site:
    """What is served, how it behaves the next times it is asked, and what was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    moods: dict[str, list[str]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        path, wanted = self.path[1:], self.headers["Range"]
        self.site.asked.append((path, wanted))
        moods = self.site.moods.get(path, [])
        mood = moods.pop(0) if len(moods) > 1 else (moods[0] if moods else "")
        body = self.site.files.get(path)
        if mood.isdigit() or body is None:
            self.send_error(int(mood or 404))
            return
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and mood != "no range" else 0
        if first >= len(body) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.end_headers()
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if mood != "no length":
            self.send_header("Content-Length", str(len(body) - first))
        self.send_header("Content-Type", "text/html" if mood == "page" else "application/octet-stream")
        self.end_headers()
        part = body[first:]
        self.wfile.write(part[: len(part) // 2] if mood == "cut" else part)

    def log_message(self, *_: Any) -> None:
        """Silence."""


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.address = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


def call(tmp_path: Path, *files: dict[str, Any], more: list[str] | None = None, **facts: Any) -> int:
    """The script on a source `toy` of these files, into `tmp_path/toy`."""
    toy = {"title": "Toy", "licence": "CC0", "citation": "Nobody 2020", "page": "http://page", "files": list(files)}
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"toy": {**toy, **facts}}))
    fixed = ["--yes", "--tries=3", "--wait=0.01", f"--sources={tmp_path / 'sources.yaml'}"]
    return main(["toy", str(tmp_path / "toy"), *fixed, *(more or [])])


def plain(site: Site, *names: str) -> dict[str, Any]:
    return {"at": {name: site.address + name for name in names}}


def zipped(members: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_files_come_once_and_are_remembered(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.files |= {"a.bin": BIG, "b.bin": b"b"}
    assert call(tmp_path, plain(site, "a.bin", "b.bin")) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("CC0", "Nobody 2020", "http://page", "files:    2"))
    assert shown.index("CC0") < shown.index("complete")
    assert (tmp_path / "toy/a.bin").read_bytes() == BIG
    sums = (tmp_path / "toy/CHECKSUMS.txt").read_text()
    assert f"{hashlib.sha256(BIG).hexdigest()}  a.bin\n" in sums
    count = len(site.asked)
    assert call(tmp_path, plain(site, "a.bin", "b.bin")) == 0
    assert len(site.asked) == count
    assert (tmp_path / "toy/CHECKSUMS.txt").read_text() == sums
    assert not list((tmp_path / "toy").rglob("*.part"))


def test_a_cut_connection_is_taken_up_again(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = BIG
    site.moods["a.bin"] = ["cut", "cut", "503", "ok"]
    assert call(tmp_path, plain(site, "a.bin")) == 0
    assert (tmp_path / "toy/a.bin").read_bytes() == BIG
    starts = [wanted for _, wanted in site.asked]
    assert starts == [None, "bytes=350000-", "bytes=525000-", "bytes=525000-"]


def test_an_interrupted_download_goes_on_at_the_next_call(site: Site, tmp_path: Path) -> None:
    site.files["a.bin"] = BIG
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/a.bin.part").write_bytes(BIG[:1000])
    assert call(tmp_path, plain(site, "a.bin")) == 0
    assert site.asked == [("a.bin", "bytes=1000-")]
    assert (tmp_path / "toy/a.bin").read_bytes() == BIG


@pytest.mark.parametrize("mood", ["no range", "no length"])
def test_servers_that_can_do_less(site: Site, tmp_path: Path, mood: str) -> None:
    site.files["a.bin"] = BIG
    site.moods["a.bin"] = ["cut", mood]
    assert call(tmp_path, plain(site, "a.bin")) == 0
    assert (tmp_path / "toy/a.bin").read_bytes() == BIG


@pytest.mark.parametrize(("already", "requests"), [(BIG, 1), (BIG + b"more", 2)])
def test_a_part_that_is_whole_or_too_long(site: Site, tmp_path: Path, already: bytes, requests: int) -> None:
    site.files["a.bin"] = BIG
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/a.bin.part").write_bytes(already)
    assert call(tmp_path, plain(site, "a.bin")) == 0
    assert (tmp_path / "toy/a.bin").read_bytes() == BIG
    assert len(site.asked) == requests


@pytest.mark.parametrize(
    ("mood", "words", "tries"),
    [
        ("404", ["HTTP 404", "moved", "page"], 1),
        ("403", ["HTTP 403", "gated"], 1),
        ("503", ["HTTP 503", "3 times", "goes on"], 3),
        ("page", ["a web page", "browser"], 1),
    ],
)
def test_a_server_that_refuses(
    site: Site, tmp_path: Path, mood: str, words: list[str], tries: int, capsys: pytest.CaptureFixture[str]
) -> None:
    site.files["a.bin"] = BIG
    site.moods["a.bin"] = [mood]
    assert call(tmp_path, plain(site, "a.bin")) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words)
    assert len(site.asked) == tries
    assert not (tmp_path / "toy/a.bin").exists()


def test_no_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, {"at": {"a.bin": "http://127.0.0.1:9/a.bin"}}) == 2
    assert "refused, 3 times" in capsys.readouterr().err


def test_a_wrong_checksum_is_set_aside(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.files |= {"a.bin": BIG, "SUMS": f"{'0' * 64} a.bin\n".encode()}
    listed = {"kind": "sha256sums", "at": site.address + "SUMS", "base": site.address}
    assert call(tmp_path, listed) == 2
    error = capsys.readouterr().err
    assert hashlib.sha256(BIG).hexdigest() in error
    assert "0" * 64 in error
    assert "a.bin.mismatch" in error
    assert (tmp_path / "toy/a.bin.mismatch").read_bytes() == BIG
    assert not (tmp_path / "toy/a.bin").exists()
    site.files["SUMS"] = f"{hashlib.sha256(BIG).hexdigest()} a.bin\n".encode()
    assert call(tmp_path, listed) == 0


def test_what_came_first_must_come_again(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.files["a.bin"] = BIG
    assert call(tmp_path, plain(site, "a.bin")) == 0
    (tmp_path / "toy/a.bin").write_bytes(b"spoilt")
    assert call(tmp_path, plain(site, "a.bin")) == 2
    assert "move it away" in capsys.readouterr().err
    (tmp_path / "toy/a.bin").unlink()
    site.files["a.bin"] = BIG[:-1]
    assert call(tmp_path, plain(site, "a.bin")) == 2
    assert "CHECKSUMS.txt" in capsys.readouterr().err


def test_the_lists_of_publishers(site: Site, tmp_path: Path) -> None:
    md5 = hashlib.md5(BIG, usedforsecurity=False).hexdigest()
    entry = {"key": "z.bin", "size": len(BIG), "checksum": f"md5:{md5}", "links": {"self": site.address + "data"}}
    other = {**entry, "key": "song.bin", "checksum": "md5:0"}
    figure = {"name": "f.bin", "size": len(BIG), "download_url": site.address + "data", "computed_md5": md5}
    blobs = [{"path": "g 1.wav", "type": "blob"}, {"path": "sub", "type": "tree"}]
    site.files |= {
        "data": BIG,
        "zenodo": json.dumps({"files": [entry, other]}).encode(),
        "figshare": json.dumps({"files": [figure]}).encode(),
        "tree": json.dumps({"tree": blobs, "truncated": False}).encode(),
        "raw/g%201.wav": b"sound",
    }
    base = site.address
    found = call(
        tmp_path,
        {"kind": "zenodo", "at": base + "zenodo", "choose": ["z.*"]},
        {"kind": "figshare", "at": base + "figshare"},
        {"kind": "git-tree", "at": base + "tree", "base": base + "raw/", "into": "AudioWAV"},
    )
    assert found == 0
    there = {p.relative_to(tmp_path / "toy").as_posix() for p in (tmp_path / "toy").rglob("*") if p.is_file()}
    assert there == {"z.bin", "f.bin", "AudioWAV/g 1.wav", "CHECKSUMS.txt", ".download/lock"}


@pytest.mark.parametrize(
    ("content", "kind", "choose", "words"),
    [
        (b"<html>", "zenodo", "*", "cannot be read"),
        (b'{"files": [{"key": "a.zip"}]}', "zenodo", "*", "cannot be read"),
        (b'{"files": []}', "zenodo", "a.zip", "no a.zip among []"),
        (b'{"tree": [], "truncated": true}', "git-tree", "*", "cannot be read"),
        (b"0" * 64 + b" ../../a.bin\n", "sha256sums", "*", "'../../a.bin'"),
        (b"0" * 64 + b" /etc/a.bin\n", "sha256sums", "*", "'/etc/a.bin'"),
    ],
)
def test_lists_that_are_not_believed(
    site: Site, tmp_path: Path, content: bytes, kind: str, choose: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.files["list"] = content
    listed = {"kind": kind, "at": site.address + "list", "base": site.address, "choose": [choose]}
    assert call(tmp_path, listed) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "toy").exists()


def test_only_the_web_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path, {"at": {"a.bin": f"file://{tmp_path}/sources.yaml"}}) == 2
    assert "http or https" in capsys.readouterr().err


def test_an_archive_is_unpacked_and_not_kept(site: Site, tmp_path: Path) -> None:
    site.files["a.zip"] = zipped({"top-1/Actor_01/x.wav": b"x", "top-1/Actor_02/y.wav": b"yy", "top-1/README": b"r"})
    assert call(tmp_path, plain(site, "a.zip"), keep=["Actor_*"]) == 0
    root = tmp_path / "toy"
    assert (root / "Actor_02/y.wav").read_bytes() == b"yy"
    assert {p.name for p in root.iterdir()} == {"Actor_01", "Actor_02", "CHECKSUMS.txt", ".download"}
    assert not (root / ".download/a.zip").exists()
    assert call(tmp_path, plain(site, "a.zip"), keep=["Actor_*"]) == 0
    assert len(site.asked) == 1
    (root / "Actor_01/x.wav").unlink()  # then it comes again
    assert call(tmp_path, plain(site, "a.zip"), keep=["Actor_*"]) == 0
    assert (root / "Actor_01/x.wav").read_bytes() == b"x"


def test_a_chosen_part_of_the_files(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.files |= {"a.bin": b"a", "b.bin": b"b"}
    assert call(tmp_path, plain(site, "a.bin", "b.bin"), more=["--only=b.*"]) == 0
    assert [path for path, _ in site.asked] == ["b.bin"]
    assert call(tmp_path, plain(site, "a.bin", "b.bin"), more=["--only=c*"]) == 2
    assert "'a.bin', 'b.bin'" in capsys.readouterr().err


def test_too_little_room(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.files["a.zip"] = zipped({"x": BIG})
    assert call(tmp_path, plain(site, "a.zip"), download=1e6, disk=2e6) == 2  # before the first byte
    assert "GB free" in capsys.readouterr().err
    assert site.asked == []
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=600_000))
    assert call(tmp_path, plain(site, "a.zip")) == 2  # size unknown until it came
    assert "make room" in capsys.readouterr().err
    monkeypatch.undo()

    opened = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **more: Any) -> Any:
        if self.suffix == ".part" and mode == "wb":
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(self, mode, *args, **more)

    site.files["b.bin"] = BIG
    monkeypatch.setattr(Path, "open", full)
    assert call(tmp_path, plain(site, "b.bin")) == 2
    assert "No space left" in capsys.readouterr().err


def test_a_pointer_is_not_the_file(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.files["a.wav"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    assert call(tmp_path, plain(site, "a.wav")) == 2
    assert "pointer" in capsys.readouterr().err


def test_gated_corpora_say_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deap", str(tmp_path / "deap")]) == 2
    shown = capsys.readouterr().out
    for words in ("Koelstra", "agreement", "https://www.eecs.qmul.ac.uk", "data_preprocessed_python/s01.dat"):
        assert words in shown
    assert not (tmp_path / "deap").exists()


def test_nothing_without_consent(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.files["a.bin"] = b"a"
    call(tmp_path, plain(site, "a.bin"))
    shutil.rmtree(tmp_path / "toy")
    assert main(["toy", str(tmp_path / "toy"), f"--sources={tmp_path / 'sources.yaml'}"]) == 2  # nobody to ask
    assert "--yes" in capsys.readouterr().err
    assert not (tmp_path / "toy").exists()


def test_unknown_names_and_folders(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ravdes", str(tmp_path)]) == 2
    assert "did you mean ravdess?" in capsys.readouterr().err
    assert main(["crema-d"]) == 2  # known by crema_d
    assert "no folder" in capsys.readouterr().err
    (tmp_path / "toy").touch()
    site.files["a.bin"] = b"a"
    assert call(tmp_path, plain(site, "a.bin")) == 2
    assert "not a folder" in capsys.readouterr().err


def test_two_at_once(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.files["a.bin"] = b"a"
    (tmp_path / "toy/.download").mkdir(parents=True)
    with FileLock(tmp_path / "toy/.download/lock"):
        assert call(tmp_path, plain(site, "a.bin")) == 2
    assert "under way" in capsys.readouterr().err


def test_the_table_of_sources(capsys: pytest.CaptureFixture[str]) -> None:
    sources = read_sources(Path(__file__).parents[2] / "scripts/sources.yaml")
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    for name, source in sources.items():
        assert name in shown
        assert bool(source.ask) != bool(source.files)
        assert source.page.startswith("http")
        assert "doi:" in source.citation or "arXiv:" in source.citation
