"""The networks of the DANN paper are the ones it describes; its protocol sees no label of the target."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from affect.alignment.dann import reverse_gradient
from affect.errors import UserError
from experiments.reproductions import Amazon, amazon_pairs
from experiments.reproductions.inputs import BLOCK, Floats, Inputs, Spanned, Sparse
from experiments.reproductions.msda import RIDGE, layers, mapping
from experiments.reproductions.networks import Networks, Task, train

NONE = np.zeros(0, np.int64)
SOURCE, TARGET = np.arange(BLOCK + 10), np.arange(BLOCK + 10, BLOCK + 40)  # more steps than a block of Spanned holds
WEIGHTS = np.array([0, 0.5, 2], np.float32)


@pytest.fixture(params=["sparse", "spanned"])
def problem(request: pytest.FixtureRequest) -> tuple[Inputs, Floats, Floats, Floats, NDArray[np.int64]]:
    """Inputs, X (rows, 7), W_0 (7, 5), V (2, 5) and a label of every row and network."""
    draw = np.random.default_rng(0)
    x = (draw.normal(size=(BLOCK + 60, 7)) * (draw.random((BLOCK + 60, 7)) < 0.6)).astype(np.float32)
    start, head = draw.normal(size=(7, 5)).astype(np.float32), draw.normal(size=(2, 5)).astype(np.float32)
    trained = len(SOURCE) + len(TARGET)
    inputs: Inputs = (
        Sparse(sparse.csr_matrix(x), start) if request.param == "sparse" else Spanned(x @ start, x @ x[:trained].T)
    )
    return inputs, x, start, head, draw.integers(2, size=(len(x), 3))


def in_torch(
    x: Floats, start: Floats, head: Floats, label: NDArray[np.int64], weight: float, epochs: int, rate: float
) -> list[Tensor]:
    """Algorithm 1 of the paper, step by step: W, b, V, c, u, d."""
    hidden = start.shape[1]
    shapes = [(hidden,), (2,), (hidden,), ()]
    b, c, u, d = (torch.zeros(shape) for shape in shapes)
    parts = [torch.tensor(start.T.copy()), b, torch.tensor(head), c, u, d]
    for part in parts:
        part.requires_grad_()
    w, b, v, c, u, d = parts
    draw = np.random.default_rng(3)
    for _ in range(epochs):
        for s, t in zip(SOURCE, TARGET[draw.integers(len(TARGET), size=len(SOURCE))], strict=True):
            h = torch.sigmoid(torch.tensor(x[[s, t]]) @ w.T + b)
            told = reverse_gradient(h, 1.0) @ u + d
            domain = F.binary_cross_entropy_with_logits(told, torch.tensor([1.0, 0.0]), reduction="sum")
            loss = F.cross_entropy(h[:1] @ v.T + c, torch.tensor(label[[s]])) + weight * domain
            gradients = torch.autograd.grad(loss, parts, allow_unused=True, materialize_grads=True)
            with torch.no_grad():
                for part, gradient in zip(parts, gradients, strict=True):
                    part -= rate * gradient
    return [part.detach() for part in parts]


def test_the_grid_descends_as_each_network_alone_in_torch(problem: Any) -> None:
    """Same weights, same rows: the same gradients, for every λ, label and kind of inputs, over two epochs."""
    inputs, x, start, head, label = problem
    task = Task(inputs, SOURCE, TARGET, label[SOURCE], NONE, NONE)
    networks, _ = train(Networks.untrained(3, inputs, head), task, WEIGHTS, WEIGHTS, 0.2, 2, seed=3)
    hidden = networks.hidden(inputs, np.arange(len(x)))
    for n, weight in enumerate(WEIGHTS):
        w, b, *others = in_torch(x, start, head, label[:, n], float(weight), 2, 0.2)
        expected = torch.sigmoid(torch.tensor(x) @ w.T + b).numpy()
        assert np.abs(expected - 1 / (1 + np.exp(-x @ start))).max() > 0.1
        np.testing.assert_allclose(hidden[n], expected, atol=1e-5)
        for own, other in zip(networks.parts()[2:], others, strict=True):
            np.testing.assert_allclose(own[n], other.numpy(), atol=1e-5)
        assert np.any(networks.unit[n]) == (weight > 0)


@pytest.mark.slow
def test_code_just_compiled_and_code_from_the_cache_train_the_same_networks(tmp_path: Path) -> None:
    """An adversary makes another network of a difference in rounding."""
    program = "from experiments.reproductions import Moons; print(Moons().compute('paper-0'), Moons().compute('new-3'))"
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
            capture_output=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert [*tmp_path.rglob("*.nbi")]
    assert told[0] == told[1]


def test_an_encoder_that_hears_nothing_of_the_domain_is_source_only(problem: Any) -> None:
    """λ of the domain unit alone: it learns, and W, b, V, c are those of λ = 0."""
    inputs, _, _, head, label = problem
    same = np.repeat(label[SOURCE, :1], 2, axis=1)
    weight, reach = np.array([0, 2], np.float32), np.zeros(2, np.float32)
    task = Task(inputs, SOURCE, TARGET, same, NONE, NONE)
    networks, _ = train(Networks.untrained(2, inputs, head), task, weight, reach, 0.2, 3, seed=0)
    for part in networks.parts()[:4]:
        np.testing.assert_array_equal(part[0], part[1])
    assert np.any(networks.unit[1])


def test_each_network_stops_at_its_own_best_epoch(problem: Any) -> None:
    """What comes back is what training for so many epochs gives, and no earlier or later epoch has less risk."""
    inputs, x, _, head, label = problem
    held = np.arange(len(SOURCE) + len(TARGET), len(x))
    task = Task(inputs, SOURCE, TARGET, label[SOURCE], held, label[held])
    best, epoch = train(Networks.untrained(3, inputs, head), task, WEIGHTS, WEIGHTS, 0.2, 40, seed=1)
    assert len(set(epoch)) > 1
    free = Task(inputs, SOURCE, TARGET, label[SOURCE], NONE, NONE)
    risks = []
    for epochs in range(1, 32):
        found, _ = train(Networks.untrained(3, inputs, head), free, WEIGHTS, WEIGHTS, 0.2, epochs, seed=1)
        risks.append((found.predict(inputs, held) != label[held]).mean(axis=0))
        for n in range(3):
            if epoch[n] == epochs - 1:
                np.testing.assert_allclose(best.learned[n], found.learned[n], atol=1e-5)
    own = (best.predict(inputs, held) != label[held]).mean(axis=0)
    np.testing.assert_array_less(own, np.min(risks, axis=0) + 1e-9)


def test_msda_is_the_best_linear_reconstruction_over_all_corruptions() -> None:
    """Against the closed form in 64 bits, and against least squares on many corrupted copies."""
    draw = np.random.default_rng(0)
    x = draw.poisson(0.5, size=(80, 12)).astype(np.float32)
    x[:, 3] = 0  # a word that does not occur
    own = mapping(x, 0.5)
    assert np.isfinite(own).all()
    padded = np.hstack([x, np.ones((80, 1))]).astype(np.float64)
    scatter, kept = padded.T @ padded, np.r_[np.full(12, 0.5), 1.0]
    seen = scatter * np.outer(kept, kept)
    seen[np.diag_indices(13)] = np.diag(scatter) * kept + np.r_[np.full(12, RIDGE), 0]
    np.testing.assert_allclose(own, (scatter * kept)[:-1] @ np.linalg.inv(seen), atol=1e-5)
    corrupted = np.vstack([x * (draw.random(x.shape) < 0.5) for _ in range(3000)])
    design = np.hstack([corrupted, np.ones((len(corrupted), 1))])
    brute = np.linalg.lstsq(design, np.tile(x, (3000, 1)), rcond=None)[0].T
    occur = np.array([*range(3), *range(4, 13)])
    np.testing.assert_allclose(own[:, occur], brute[:, occur], atol=0.02)


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four domains of 60 words: some tell the label everywhere, some of the domain, some the label in one domain."""
    monkeypatch.setattr(amazon_pairs, "WORDS", 60)
    draw = np.random.default_rng(0)
    for number, domain in enumerate(("books", "dvd", "electronics", "kitchen")):
        for part, rows in (("train", 200), ("test", 90)):
            label = draw.integers(2, size=rows)
            rate = np.full((rows, 60), 0.3)
            rate[np.arange(rows), label] += 1.5
            rate[:, 10 + number] += 1.0
            rate[np.arange(rows), 20 + 2 * number + label] += 1.0
            _write(tmp_path / f"{domain}_{part}.svmlight", draw.poisson(rate), label)
    return tmp_path


def _write(path: Path, counts: NDArray[np.int64], label: NDArray[np.int64]) -> None:
    lines = [
        f"{y} " + " ".join(f"{word}:{count}" for word, count in enumerate(row) if count)
        for y, row in zip(label, counts, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")


def _study(root: Path, representation: Any = "counts") -> Amazon:
    grid = {"hidden": (8,), "weights": (0.1, 1.0), "costs": (0.01, 1.0), "epochs": 60}
    return Amazon(representation, seeds=(0,), pairs=("books-dvd",), root=str(root), **grid)  # type: ignore[arg-type]


@pytest.mark.parametrize("representation", ["counts", "msda"])
def test_amazon_end_to_end_on_invented_reviews(reviews: Path, representation: str) -> None:
    study = _study(reviews, representation)
    (unit,) = study.units()
    result = study.compute(unit)
    assert [c["method"] for c in result["candidates"]] == ["SVM", "SVM", "NN", "DANN", "DANN"]
    assert 0 <= result["overlap"] < 0.2
    rows = {row.method: row.value for row in study.rows({unit: result})}
    assert rows["SVM, reverse validation"] > 0.7
    if representation == "counts":  # at the paper's rate of 1e-4, mSDA has hardly begun after 60 epochs of 180 rows
        assert rows["DANN, reverse validation"] > 0.7
    for method in ("SVM", "NN", "DANN"):
        assert rows[f"{method}, oracle"] >= rows[f"{method}, reverse validation"]
    assert "regret" in study.notes({unit: result})[0]


def test_no_label_of_the_target_reaches_training_or_selection(reviews: Path) -> None:
    """Flipped labels of both target files change the test accuracy, and nothing else."""
    before = _study(reviews).compute("books-dvd-0")["candidates"]
    for part in ("train", "test"):
        path = reviews / f"dvd_{part}.svmlight"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(f"{1 - int(line[0])}{line[1:]}" for line in lines) + "\n")
    after = _study(reviews).compute("books-dvd-0")["candidates"]
    for one, other in zip(before, after, strict=True):
        assert other.pop("test") == pytest.approx(1 - one.pop("test"))
        assert one == other


def test_layers_summed_one_by_one_are_all_inputs_at_once(reviews: Path) -> None:
    """Inner products of the counts and five layers side by side, which are never in memory together."""
    pair = amazon_pairs.read(reviews, "books", "dvd", [0, 0])
    gram, (inputs,) = amazon_pairs.represent(pair, "msda", [8], np.random.default_rng(0))
    counts = pair.rows.toarray()
    wide = np.hstack([counts, *layers(counts, 400, 5, 0.5)])
    assert wide.shape == (490, 360)
    np.testing.assert_allclose(gram, wide @ wide[:360].T, rtol=1e-4, atol=1e-3)
    assert isinstance(inputs, Spanned)
    assert inputs.start.shape == (490, 8)


def test_files_that_are_not_there_or_damaged_are_told(reviews: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="AFFECT_DATA"):
        Amazon(root=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="books-toys"):
        Amazon(pairs=("books-toys",), root=str(reviews))
    (reviews / "dvd_test.svmlight").write_text("1 what:3\n")
    with pytest.raises(UserError, match="dvd_test"):
        _study(reviews).compute("books-dvd-0")
