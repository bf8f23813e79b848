"""Film, stills and the sound of films, as cameras, tools and broken downloads leave them."""

import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from affect.errors import UserError
from datamodules.formats.media import VideoFile, sound_of
from datamodules.standin.drawn_face import write_video

FPS, COUNT = 20.0, 60
FIRST, STEP = 8, 4  # grey of picture 0, and between two pictures
NOISE = np.random.default_rng(0).choice([-8, 8], (32, 48, 1)) * 1.0


def grey(level: int, noise: float = 0.0) -> np.ndarray:
    return np.broadcast_to(FIRST + STEP * level + noise * (NOISE - NOISE.mean()), (32, 48, 3)).astype(np.uint8)


def film(path: Path, count: int = COUNT) -> Path:
    """Picture n is of grey level n and shown from n / FPS s on."""
    write_video(path, map(grey, range(count)), FPS)
    return path


def encoded(
    path: Path,
    times: Sequence[int],
    second: int = 1000,
    codec: str = "libx264",
    live: bool = False,
    noise: float = 0.0,
    **options: str,
) -> Path:
    """As `film`, but picture n is shown from `times[n]` on, in parts of a second; `live`: no length in the header."""
    with av.open(str(path), "w", options={"live": "1"} if live else {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, second)
        stream.codec_context.options = {"crf": "10", **options} if codec == "libx264" else options
        for level, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(grey(level, noise), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, second)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def levels(video: VideoFile, rate: float) -> list[int]:
    """Numbers of the pictures given."""
    return [round((picture.mean() - FIRST) / STEP) for picture in video.frames(rate)]


def error_of(act: Callable[[], object]) -> UserError:
    with pytest.raises(UserError) as caught:
        act()
    return caught.value


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
@pytest.mark.parametrize("rate", [1.0, 3.0, FPS, 30.0])
def test_the_picture_shown_at_each_time(tmp_path: Path, suffix: str, rate: float) -> None:
    video = VideoFile(film(tmp_path / f"film{suffix}"))
    assert video.seconds == pytest.approx(COUNT / FPS)
    assert levels(video, rate) == [int(k * FPS / rate + 1e-6) for k in range(int(COUNT / FPS * rate))]
    picture = next(video.frames(rate))
    assert (picture.shape, picture.dtype) == ((32, 48, 3), np.uint8)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_the_same_pictures_are_written_as_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    """Stand-ins are known by their content."""
    one, other = (film(tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "other"))
    assert one == other


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 200
    write_video(tmp_path / "red.avi", [red] * 3, FPS)
    Image.fromarray(red).save(tmp_path / "red.png")
    for name in ("red.avi", "red.png"):
        np.testing.assert_allclose(next(VideoFile(tmp_path / name).frames(1.0)).mean(axis=(0, 1)), (200, 0, 0), atol=6)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_frame_rate_keeps_time(tmp_path: Path, suffix: str) -> None:
    """A phone's film: pictures at irregular times, one gap of more than a second."""
    times = [0, 40, 110, 500, 520, 1900, 2000, 2030, 2400, 2440]
    video = VideoFile(encoded(tmp_path / f"phone{suffix}", times))
    expected = [max(n for n, t in enumerate(times) if t <= 100 * k) for k in range(24)]
    assert levels(VideoFile(video.path, 0.0, 2.4), 10.0) == expected
    assert levels(VideoFile(video.path, 1.1, 1.0), 10.0) == expected[11:21]
    assert levels(video, 10.0)[:20] == expected[:20]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
@pytest.mark.parametrize(("start", "seconds"), [(0.0, 1.0), (0.5, 1.0), (1.43, 1.0), (2.5, 0.5), (2.9, None)])
def test_a_span_begins_and_ends_where_it_should(
    tmp_path: Path, suffix: str, start: float, seconds: float | None
) -> None:
    video = VideoFile(film(tmp_path / f"film{suffix}"), start, seconds)
    span = COUNT / FPS - start if seconds is None else seconds
    assert video.seconds == pytest.approx(span)
    assert levels(video, 10.0) == [int((start + k / 10) * FPS + 1e-6) for k in range(round(span * 10))]


def test_the_first_picture_stands_in_for_a_lead(tmp_path: Path) -> None:
    """The trial has a baseline that was not filmed."""
    path = film(tmp_path / "film.avi")
    assert levels(VideoFile(path, -1.0, 2.0), 5.0) == [0, 0, 0, 0, 0, 0, 4, 8, 12, 16]
    assert VideoFile(path, -1.0).seconds == pytest.approx(1 + COUNT / FPS)


def test_time_starts_where_a_player_starts_it(tmp_path: Path) -> None:
    """A piece cut from a longer film keeps its time stamps."""
    path = encoded(tmp_path / "piece.mkv", [5000 + 40 * n for n in range(50)])
    assert VideoFile(path).seconds == pytest.approx(2.0, abs=0.05)
    assert levels(VideoFile(path), 5.0) == list(range(0, 50, 5))
    assert levels(VideoFile(path, 1.2), 5.0) == list(range(30, 50, 5))


def test_reordered_pictures_in_a_container_without_time_stamps(tmp_path: Path) -> None:
    """H.264 with B pictures in AVI: FFmpeg guesses the stamps, a picture's length late and out of order."""
    path = encoded(tmp_path / "film.avi", range(50), 25, **{"x264-params": "bframes=4:b-adapt=0:scenecut=0:keyint=24"})
    found = levels(VideoFile(path), 25.0)
    assert max(abs(level - n) for n, level in enumerate(found)) <= 1
    assert found == sorted(found)
    assert max(abs(level - n) for n, level in enumerate(levels(VideoFile(path, 1.2), 25.0), 30)) <= 1


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": "bframes=0:scenecut=0:keyint=40"}),
        ("mpeg4", {"g": "40", "sc_threshold": "1000000", "qmax": "2"}),
    ],
)
def test_an_index_that_takes_every_picture_for_a_key(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    """As some recorders write them: what follows the place sought is not decoded, or into nonsense."""
    path = encoded(tmp_path / "film.avi", range(50), 25, codec, noise=1.0, **options)
    content = bytearray(path.read_bytes())
    at = content.index(b"idx1") + 8
    for entry in range(at, len(content), 16):
        content[entry + 4] |= 0x10
    path.write_bytes(content)
    found = levels(VideoFile(path, 1.04, 0.5), 25.0)
    assert max(abs(level - n) for n, level in enumerate(found, 26)) <= 1


def test_length_is_counted_where_no_header_tells_it(tmp_path: Path) -> None:
    """As browsers and streams leave their films."""
    path = encoded(tmp_path / "stream.mkv", range(50), 25, live=True)
    with av.open(str(path)) as container:
        assert container.duration is None
    assert VideoFile(path).seconds == pytest.approx(2.0, abs=0.05)
    assert levels(VideoFile(path), 5.0) == list(range(0, 50, 5))


def test_a_film_turned_by_its_header_is_upright(tmp_path: Path) -> None:
    """Phones turn the header, not the pictures."""
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:16, :32] = 255  # white at the upper left
    path = tmp_path / "phone.mp4"
    write_video(path, [picture] * 5, FPS)
    content = path.read_bytes()
    at = content.index(b"tkhd") + 44
    turned = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)  # a quarter, clockwise
    path.write_bytes(content[:at] + turned + content[at + 36 :])
    found = next(VideoFile(path).frames(1.0))
    assert found.shape == (64, 32, 3)
    assert found[8, 24].min() > 200  # now at the upper right
    assert found[8, 8].max() < 60


def test_a_film_shorter_than_its_span(tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4")
    assert levels(VideoFile(path, 0.0, 3.9), 10.0)[-9:] == [COUNT - 1] * 9
    for start, seconds in ((0.0, 4.2), (2.0, 2.5), (20.0, 3.0), (-1.0, 5.2)):
        error = error_of(lambda at=start, length=seconds: list(VideoFile(path, at, length).frames(5.0)))
        assert "ends at 3 s" in error.found
        assert str(path) in error.where
    assert "ends at 3 s" in error_of(lambda: VideoFile(path, 5.0).seconds).found


def broken(folder: Path) -> Iterator[Path]:
    """Files that hold no film, or half of one."""
    whole = {suffix: film(folder / f"whole{suffix}").read_bytes() for suffix in (".mp4", ".avi")}
    contents = {
        "zero.mp4": b"",
        "zeros.avi": bytes(5000),
        "text.mp4": b"this is no film\n" * 99,
        "half.mp4": whole[".mp4"][: len(whole[".mp4"]) // 2],
        "half.avi": whole[".avi"][: len(whole[".avi"]) // 2],
        "header.avi": whole[".avi"][:5000],
        "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nwhole.mp4\n#EXT-X-ENDLIST\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        yield folder / name
    soundfile.write(folder / "sound.wav", np.zeros(8000), 8000)
    (folder / "sound.wav").rename(folder / "sound.mp4")
    yield folder / "sound.mp4"
    (folder / "folder.mp4").mkdir()
    yield folder / "folder.mp4"
    yield folder / "absent.mp4"


def test_what_is_no_film_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in broken(tmp_path):
        error = error_of(lambda at=path: list(VideoFile(at).frames(5.0)))
        assert str(path) in error.where
    assert capfd.readouterr() == ("", "")  # FFmpeg's own words stay out of it


def test_pictures_lost_in_the_middle(tmp_path: Path) -> None:
    """Of a few the picture before stands in; more than a second of them is told."""
    path = encoded(tmp_path / "film.avi", range(60), 25, "mpeg4", g="10")
    good = bytearray(path.read_bytes())
    chunks = [at for at in range(good.index(b"idx1")) if good[at : at + 4] == b"00dc"]
    sizes = [int.from_bytes(good[at + 4 : at + 8], "little") for at in chunks]
    chunks = [(at + 8, size) for at, size in zip(chunks, sizes, strict=True) if size]

    def spoilt(first: int, last: int) -> VideoFile:
        bad = good.copy()
        for at, size in chunks[first:last]:
            bad[at : at + size] = bytes(size)
        path.write_bytes(bad)
        return VideoFile(path)

    assert len(levels(spoilt(20, 25), 5.0)) == 12
    for first, last in ((10, 50), (0, 40)):
        video = spoilt(first, last)
        assert "cannot be decoded" in error_of(lambda of=video: levels(of, 5.0)).found


@pytest.mark.parametrize("name", ["Gesicht – träumend 顔.mp4", "sub-01:trial 2.mp4", "face%03d.mp4", "face%03d.png"])
def test_any_name_will_do(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "où").mkdir()
    monkeypatch.chdir(tmp_path / "où")
    path = Path(name)
    if path.suffix == ".png":
        Image.fromarray(grey(3)).save(path)
    else:
        film(tmp_path / "film.mp4", 4).rename(path)
    assert levels(VideoFile(path), 5.0) == [3 if path.suffix == ".png" else 0]


def test_a_still_is_one_picture_without_time(tmp_path: Path) -> None:
    for kind in ("RGB", "L", "RGBA", "P"):
        path = tmp_path / f"{kind}.png"
        Image.fromarray(grey(30)).convert(kind).save(path)
        video = VideoFile(path)
        assert video.seconds == float("inf")
        assert levels(video, 5.0) == [30]
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter, clockwise
    Image.fromarray(grey(3)).save(tmp_path / "turned.jpg", exif=turned)
    assert next(VideoFile(tmp_path / "turned.jpg").frames(1.0)).shape == (48, 32, 3)


def test_broken_stills_are_named(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    good = path.read_bytes()
    for bad in (b"", b"no picture" * 99, good[: len(good) // 2], good[:100]):
        path.write_bytes(bad)
        assert error_of(lambda: list(VideoFile(path).frames(1.0))).where == str(path)
    assert error_of(lambda: list(VideoFile(tmp_path / "absent.png").frames(1.0))).where.endswith("absent.png")


def test_files_are_open_only_while_read(tmp_path: Path) -> None:
    def open_now() -> int:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(link.readlink().is_relative_to(tmp_path) for link in links)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc")
    video = VideoFile(film(tmp_path / "film.mp4"))
    assert video.seconds
    assert open_now() == 0
    pictures = video.frames(5.0)
    assert next(pictures).any()
    assert open_now() == 1
    del pictures
    assert open_now() == 0
    assert len(list(islice(VideoFile(video.path, 2.0).frames(5.0), 2))) == 2
    error_of(lambda: list(VideoFile(video.path, 0.0, 9.0).frames(5.0)))
    assert open_now() == 0


def test_sound_of_a_film(tmp_path: Path) -> None:
    path, rate = tmp_path / "film.mkv", 16_000
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    with av.open(str(path), "w") as container:
        pictures, sound = container.add_stream("mpeg4", rate=10), container.add_stream("pcm_s16le", rate=rate)
        sound.codec_context.layout = "stereo"
        pictures.height, pictures.width, pictures.pix_fmt = 32, 48, "yuv420p"
        for _ in range(20):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(grey(3), format="rgb24")))
        samples = np.stack([tone, 0 * tone], axis=1) * 2**15
        frame = av.AudioFrame.from_ndarray(samples.astype(np.int16).reshape(1, -1), format="s16", layout="stereo")
        frame.rate = rate
        for stream, last in ((sound, frame), (sound, None), (pictures, None)):
            container.mux(stream.encode(last))
    found = sound_of(path)
    assert (found.rate, found.channels, found.data.dtype) == (rate, ("mono",), np.float32)
    np.testing.assert_allclose(found.data[0], tone / 2, atol=1e-3)
    assert levels(VideoFile(path), 5.0) == [3] * 10
    assert error_of(lambda: sound_of(film(tmp_path / "silent.mp4"))).found == "no sound"
