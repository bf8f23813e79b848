"""Crops of faces, and features of pictures, on drawn faces and against OpenCV and timm themselves."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torchvision.transforms import v2

from affect.batch import StreamShape, Video
from affect.errors import UserError
from affect.preprocessing.face import FaceCrops
from affect.preprocessing.pictures import HOG, TimmEmbedding
from affect.preprocessing.step import describe
from datamodules.standin.drawn_face import draw_face

Picture = NDArray[np.uint8]
STILL = StreamShape(("red", "green", "blue"), 1, 0.0, (64, 64))
NETWORK = "test_efficientnet"


class Film(Video):
    """Pictures one 1/5 s each, or a still."""

    def __init__(self, pictures: Sequence[Picture], still: bool = False) -> None:
        self.pictures, self.where = pictures, "a film"
        self.seconds = float("inf") if still else len(pictures) / 5

    def frames(self, rate: float) -> Iterator[Picture]:
        if rate != 5:
            raise AssertionError(f"asked for {rate} Hz")
        return iter(self.pictures)


def scene(x: int, y: int, side: int = 120, person: int = 3, blank: bool = False) -> Picture:
    """(240, 320, 3): a face with its upper left corner at (x, y), on a plain ground."""
    picture = np.full((240, 320, 3), 150, np.uint8)
    if not blank:
        picture[y : y + side, x : x + side] = draw_face(side, 0.0, 0.0, person)
    return picture


def likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_drawn_faces_are_found() -> None:
    """Stand-ins count on it, at any size from 96 pixels and whatever the face shows."""
    moods = [(-1, -1), (-1, 1), (0, 0), (0.5, 0), (1, -1), (1, 1)]
    lost = 0
    for person in range(24):
        for size in (96, 160):
            valence, arousal = moods[(person + size) % len(moods)]
            try:
                FaceCrops()(Film([draw_face(size, valence, arousal, person)], still=True))
            except ValueError:
                lost += 1
    assert lost <= 1


def test_the_crop_is_the_face_wherever_it_is() -> None:
    crops = FaceCrops(size=48, margin=0.2)
    here, there = (crops(Film([scene(x, y)] * 3)) for x, y in ((20, 30), (170, 100)))
    assert (here.data.shape, here.data.dtype) == ((3, 3, 48, 48), np.uint8)
    assert (here.rate, here.channels, here.unit) == (5.0, ("red", "green", "blue"), "8 bit")
    assert likeness(here.data, there.data) > 0.95
    whole = crops(Film([draw_face(120, 0.0, 0.0, 3)] * 3))  # hardly any ground around it
    assert likeness(here.data, whole.data) > 0.8


def test_the_largest_face_is_taken() -> None:
    picture = scene(10, 100, side=90, person=5)
    picture[20:180, 140:300] = draw_face(160, 0.0, 0.0, 3)
    alone = FaceCrops()(Film([scene(140, 20, side=160)], still=True))
    assert likeness(FaceCrops()(Film([picture], still=True)).data, alone.data) > 0.95


def test_a_still_has_no_time() -> None:
    found = FaceCrops()(Film([scene(100, 60)], still=True))
    assert (found.rate, found.data.shape) == (0.0, (3, 1, 64, 64))


def test_a_face_is_followed_and_kept_while_it_hides() -> None:
    """It moves, hides in a few pictures, and is absent from the first ones."""
    places = [(20 + 6 * n, 40 + 3 * n) for n in range(20)]
    hidden = {0, 1, 8, 9, 10}
    film = Film([scene(x, y, blank=n in hidden) for n, (x, y) in enumerate(places)])
    found = FaceCrops(size=48, margin=0.3)(film).data.swapaxes(0, 1)
    still = FaceCrops(size=48, margin=0.3)(Film([scene(80, 60)], still=True)).data[:, 0]
    assert min(likeness(found[n], still) for n in range(20) if n not in hidden) > 0.9
    assert found[9].std() < 5  # what lies where the face was
    assert found[0].std() < 5


def test_a_face_lost_for_long_is_looked_for_anywhere() -> None:
    pictures = [scene(10, 10)] * 3 + [scene(0, 0, blank=True)] * 3 + [scene(190, 110)] * 12
    found = FaceCrops()(Film(pictures)).data[:, -1]
    assert likeness(found, FaceCrops()(Film([scene(190, 110)], still=True)).data[:, 0]) > 0.95


def test_no_face_is_said_in_words() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (4, 96, 96, 3), np.uint8)
    with pytest.raises(ValueError, match="no face in 4 frames"):
        FaceCrops()(Film(list(noise)))


@pytest.mark.parametrize("shape", [(100, 60, 3), (60, 100, 3), (20, 30, 3)])
def test_the_middle_and_the_whole_picture(shape: tuple[int, int, int]) -> None:
    picture = np.zeros(shape, np.uint8)
    height, width = shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    picture[top : top + side, left : left + side] = 200
    middle, whole = (FaceCrops(size=40, crop=crop)(Film([picture])).data[:, 0] for crop in ("centre", "none"))
    assert (middle == 200).all()
    assert whole.mean() == pytest.approx(200 * side**2 / (height * width), rel=0.05)


def test_crops_keep_their_colours() -> None:
    picture = np.zeros((90, 90, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 250, 30
    found = FaceCrops(crop="centre")(Film([picture])).data
    np.testing.assert_array_equal(found.mean(axis=(1, 2, 3)), (250, 0, 30))


def windows(count: int = 3, frames: int = 2, size: int = 64) -> NDArray[np.uint8]:
    """(count, 3, frames, size, size) faces of people who smile more and more."""
    faces = [[draw_face(size, t / frames, 0.0, person) for t in range(frames)] for person in range(count)]
    return np.ascontiguousarray(np.array(faces).transpose(0, 4, 1, 2, 3))


def test_hog_is_opencvs() -> None:
    given = windows()
    found = HOG(deviation=True)(given, STILL)
    hog = cv2.HOGDescriptor((64, 64), (16, 16), (8, 8), (8, 8), 9)
    every = np.array([[hog.compute(np.ascontiguousarray(p)) for p in w.transpose(1, 2, 3, 0)] for w in given])
    np.testing.assert_allclose(found, np.stack([every.mean(axis=1), every.std(axis=1)], axis=1), atol=1e-6)
    np.testing.assert_array_equal(HOG()(given, STILL), found[:, :1])


@pytest.mark.parametrize("features", [HOG(), HOG(size=48, cell=16, bins=6), HOG(deviation=True)])
def test_hog_names_what_it_gives(features: HOG) -> None:
    found = features(windows(2, 1, 80), STILL)
    assert found.shape == (2, len(features.channels(STILL.channels)), len(features.names()))
    assert len(set(features.names())) == len(features.names())


def test_hog_names_the_place_of_an_edge() -> None:
    """One vertical edge in cell (row 5, column 2): the names of what it moves say so."""
    picture = np.zeros((1, 3, 1, 64, 64), np.uint8)
    picture[..., 42:46, 20:] = 200
    picture[..., 42:46, 22:] = 0
    found = HOG()(picture, STILL)[0, 0]
    strong = [name for name, value in zip(HOG().names(), found, strict=True) if value > 0.3]
    assert strong
    assert all(name.startswith("row5 column2 ") for name in strong)


@pytest.mark.parametrize("wrong", [{"size": 60}, {"size": 8}])
def test_hog_refuses_cells_that_do_not_fit(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiple of the cell"):
        HOG(**wrong)


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model(NETWORK).eval()


@pytest.mark.parametrize("kind", [".safetensors", ".pth"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_embedding_is_timms(network: torch.nn.Module, tmp_path: Path, kind: str, dtype: torch.dtype) -> None:
    path = tmp_path / f"weights{kind}"
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in network.state_dict().items()}
    save_file(state, path) if kind == ".safetensors" else torch.save(state, path)
    given = windows(3, 2, 90)
    features = TimmEmbedding(NETWORK, str(path))
    found = features(given, STILL)
    assert found.shape == (3, 1, len(features.names()))
    assert found.dtype == np.float32
    config = timm.data.resolve_model_data_config(network)
    assert (config["mean"], config["input_size"]) != ((0, 0, 0), (3, 90, 90))
    prepare = v2.Compose([v2.Resize(config["input_size"][1:]), v2.Normalize(config["mean"], config["std"])])
    with torch.inference_mode():
        pictures = prepare(torch.from_numpy(given).transpose(1, 2).flatten(0, 1) / 255)
        expected = network.forward_head(network.forward_features(pictures), pre_logits=True)
    expected = expected.reshape(3, 2, -1).mean(dim=1).numpy()
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4 if dtype == torch.float32 else 2e-2)


def test_no_weight_stays_random(network: torch.nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing or foreign entries, a file that is no state, a hub out of reach: told, never filled in."""
    state = dict(network.state_dict())
    first = next(iter(state))
    files = {
        "less": {k: v for k, v in state.items() if k != first},
        "more": {**state, "foreign.weight": torch.zeros(1)},
        "shape": {**state, first: torch.zeros(1)},
    }
    for name, content in files.items():
        save_file(content, tmp_path / f"{name}.safetensors")
    (tmp_path / "text.safetensors").write_text("no state")
    (tmp_path / "code.pth").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(UserError) as caught:
            TimmEmbedding(NETWORK, str(path))(windows(), STILL)
        assert str(path) in caught.value.found
    with pytest.raises(ValueError, match="no such file"):
        TimmEmbedding(NETWORK, str(tmp_path / "absent.pth"))

    def unreachable(*args: object, pretrained: bool, **kwargs: object) -> None:
        assert pretrained
        raise ConnectionError("offline")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(UserError, match=r"model hub.*offline"):
        TimmEmbedding(NETWORK)(windows(), STILL)


def test_an_unknown_backbone_is_named_with_its_neighbours() -> None:
    with pytest.raises(UserError, match="tf_efficientnet_lite0"):
        TimmEmbedding("tf_eficientnet_lite0").names()


def test_other_weights_of_the_same_name_are_another_recipe(network: torch.nn.Module, tmp_path: Path) -> None:
    path, recipes, found = tmp_path / "weights.safetensors", [], []
    for factor in (1.0, 2.0):
        save_file({k: factor * v for k, v in network.state_dict().items()}, path)
        features = TimmEmbedding(NETWORK, str(path))
        recipes.append(describe(features))
        found.append(features(windows(), STILL))
    assert recipes[0] != recipes[1]
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("features", [HOG(), TimmEmbedding(NETWORK)])
def test_samples_are_no_pictures(features: HOG | TimmEmbedding) -> None:
    with pytest.raises(ValueError, match="not pictures"):
        features(np.zeros((2, 3, 64), np.uint8), STILL)


@pytest.mark.real
def test_a_filmed_actor_is_found_in_every_picture(real_data: Path) -> None:
    from datamodules.formats.media import VideoFile

    path = real_data / "ravdess" / "Actor_01" / "01-01-01-01-01-01-01.mp4"
    found = FaceCrops()(VideoFile(path))
    assert found.data.shape == (3, 17, 64, 64)
    pictures = found.data.swapaxes(0, 1)
    assert min(likeness(one, next_) for one, next_ in pairwise(pictures)) > 0.8  # the box does not jump
    skin = found.data[:, :, 20:44, 20:44].mean(axis=(1, 2, 3))
    assert skin[0] > skin[1] > skin[2] > 40
