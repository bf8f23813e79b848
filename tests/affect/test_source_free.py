"""What alignments do after training: which parameters move, towards what, and never by a target label."""

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid
from torch import Tensor, nn

from affect.alignment import ADDA, SHOT, TENT, AdaBN, Alignment, CalibrationFineTuning, PrototypeHead
from affect.alignment.shot import pseudo_labels
from affect.alignment.tent import affine_parameters
from affect.batch import Batch, StreamShape
from affect.encoders import BandMLP
from affect.errors import UserError
from affect.fusion import Concatenation, Decision
from affect.learners.label_loss import label_loss
from affect.learners.network import Network
from affect.transfer import FrozenEncoder

TARGET = 2
"""Number of the target's domain, beside two source people."""


def _batch(seed: int, rows: int, domain: int | None, labelled: bool) -> Batch:
    """Three classes and a yes or no, along two of four axes; the target is off."""
    rng = np.random.default_rng(seed)
    person = torch.from_numpy(rng.integers(0, TARGET, rows)) if domain is None else torch.full((rows,), domain)
    label = torch.from_numpy(np.stack([np.arange(rows) % 3, rng.integers(0, 2, rows)], axis=1)).float()
    x = torch.from_numpy(rng.normal(size=(rows, 4))).float()
    x[:, :2] += 2 * label - 2 + 0.5 * (person == TARGET)[:, None]
    number = torch.arange(rows)
    return Batch(
        streams={"x": x[:, :, None]},
        present=torch.ones(rows, 1, dtype=torch.bool),
        label=label if labelled else torch.full_like(label, torch.nan),
        source=torch.full((rows,), labelled),
        domain=person,
        weight=torch.full((rows, 2), float(labelled)),
        window=number,
        trial=number,
        subject=person,
    )


class _Windows:
    """The target's are in another order in every epoch."""

    def __init__(self, calibration: int = 12) -> None:
        self.rows = calibration

    def source(self, epoch: int) -> Iterator[Batch]:
        yield from (_batch(seed, 32, None, True) for seed in range(4))
        yield _batch(20, self.rows, TARGET, True)  # as in training, where calibration windows are beside the source's

    def target(self, epoch: int) -> Iterator[Batch]:
        batches = [_batch(seed, 24 + seed, TARGET, False) for seed in range(10, 13)]
        return iter(batches[epoch % 3 :] + batches[: epoch % 3])

    def calibration(self, epoch: int) -> Iterator[Batch]:
        yield _batch(20, self.rows, TARGET, True)


def _network(norm: str = "batch", decides: bool = False) -> Network:
    """A network that has learnt the source, for this test alone."""
    return copy.deepcopy(_trained(norm, decides))


@cache
def _trained(norm: str, decides: bool) -> Network:
    torch.manual_seed(0)
    encoder = BandMLP(StreamShape(tuple("abcd"), 1, None), 16, 8, 0.1, 0.1, norm=norm)  # type: ignore[arg-type]
    fusion = Decision({"x": 8}) if decides else Concatenation({"x": 8})
    network = Network({"x": encoder}, fusion, {"mood": 3, "happy": 2})
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    network.train()
    for step in range(60):
        batch = _batch(step % 4, 32, None, True)
        optimizer.zero_grad()
        reading = network.read(batch)
        outputs = reading.streams[:, 0] if decides and reading.streams is not None else reading.outputs
        label_loss(network, outputs, batch).loss.mean().backward()
        optimizer.step()
    return network


def _make(kind: Callable[..., Alignment], **arguments: Any) -> Alignment:
    return kind(8, (3, 2), TARGET + 1, **arguments)


def _moved(before: Network, after: Network) -> set[str]:
    old = before.state_dict()
    return {name for name, value in after.state_dict().items() if not torch.equal(old[name], value)}


def _sureness(network: Network) -> Tensor:
    """Mean entropy of each target variable on the target's windows."""
    network.eval()
    with torch.no_grad():
        outputs = torch.cat([network(batch) for batch in _Windows().target(0)])
    return torch.stack(
        [torch.distributions.Categorical(logits=o).entropy().mean() for o in network.split(outputs).values()]
    )


AFTER: list[tuple[Callable[..., Alignment], dict[str, Any]]] = [
    (AdaBN, {}),
    (SHOT, {"epochs": 2}),
    (TENT, {}),
    (CalibrationFineTuning, {"epochs": 2}),
    (CalibrationFineTuning, {"epochs": 2, "part": "all"}),
    (PrototypeHead, {}),
]


@pytest.mark.parametrize(("kind", "arguments"), AFTER)
def test_same_seed_same_network(kind: Callable[..., Alignment], arguments: dict[str, Any]) -> None:
    """Twice the same to the bit, in the mode for tests, without gradients, everything learning that learnt before."""
    trained, ends = _network(), []
    for _ in range(2):
        network = copy.deepcopy(trained)
        torch.manual_seed(3)
        _make(kind, **arguments).after(network, _Windows())
        ends.append(network)
    assert _moved(trained, ends[0])
    assert not _moved(ends[0], ends[1])
    assert not any(module.training for module in ends[0].modules())
    assert all(p.requires_grad and p.grad is None for p in ends[0].parameters())


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_tent_makes_sure_by_scale_and_shift_alone(norm: str) -> None:
    trained = _network(norm)
    network = copy.deepcopy(trained)
    affine = {n for n, p in network.named_parameters() if any(p is q for q in affine_parameters(network))}
    assert affine == {"encoders.x.layers.3.weight", "encoders.x.layers.3.bias"}
    statistics = {f"encoders.x.layers.3.running_{name}" for name in ("mean", "var")} if norm == "batch" else set()
    _make(TENT, epochs=3).after(network, _Windows())
    assert _moved(trained, network) == affine | statistics
    reference = copy.deepcopy(trained)
    if norm == "batch":
        _make(AdaBN).after(reference, _Windows())
    assert bool((_sureness(network) < _sureness(reference)).all())


def test_tent_refuses_a_network_without_scale_and_shift() -> None:
    with pytest.raises(ValueError, match="without a normalisation layer"):
        _make(TENT).check(_network("none"))


@pytest.mark.parametrize("decides", [False, True])
def test_shot_leaves_the_heads_alone(decides: bool) -> None:
    trained = _network("none", decides)
    network = copy.deepcopy(trained)
    _make(SHOT, epochs=3).after(network, _Windows())
    moved = _moved(trained, network)
    assert moved == {n for n in trained.state_dict() if n.startswith("encoders.") and n.endswith(("weight", "bias"))}
    assert bool((_sureness(network) < _sureness(trained)).all())


def test_shots_objective() -> None:
    """Entropy minus the entropy of the mean plus cross-entropy of the pseudo-labels, each the mean over targets."""
    torch.manual_seed(0)
    outputs, label = torch.randn(9, 5, dtype=torch.float64), torch.stack([torch.arange(9) % 3, torch.arange(9) % 2], 1)
    expected = 0.0
    for out, named in ((outputs[:, :3], label[:, 0]), (outputs[:, 3:], label[:, 1])):
        p = np.exp(out.numpy()) / np.exp(out.numpy()).sum(1, keepdims=True)
        mean = p.mean(0)
        expected += (
            -(p * np.log(p)).sum(1).mean() + (mean * np.log(mean)).sum() - 0.3 * np.log(p[range(9), named]).mean()
        )
    assert float(_make(SHOT).objective(outputs, label)) == pytest.approx(expected / 2)  # type: ignore[operator]


def test_pseudo_labels_are_of_the_nearest_centroid() -> None:
    """Unsure probabilities name some rows wrongly; centroids, found twice by cosine, do not."""
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 3
    features = np.eye(3)[truth] * 4 + rng.normal(size=(60, 3)) * 0.5
    shares = 0.5 * np.eye(3)[truth] + 0.5 * rng.dirichlet(np.ones(3), 60)
    shares[:6] = np.eye(3)[(truth[:6] + 1) % 3]
    found = pseudo_labels(torch.from_numpy(features), torch.from_numpy(shares)).numpy()

    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    centroids = shares.T @ features / shares.sum(0)[:, None]
    first = (unit @ (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)).T).argmax(1)
    means = np.stack([features[first == k].mean(0) for k in range(3)])
    second = (unit @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)
    np.testing.assert_array_equal(found, second)
    assert (found == truth).mean() > 0.95


def test_pseudo_labels_of_an_empty_class_keep_its_soft_centroid() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1]])
    shares = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.8, 0.2]])
    assert pseudo_labels(features, shares).shape == (3,)


@pytest.mark.parametrize("part", ["head", "all"])
def test_fine_tuning_learns_the_calibration_windows(part: str) -> None:
    trained = _network("none")
    network = copy.deepcopy(trained)
    _make(CalibrationFineTuning, part=part, epochs=30, learning_rate=0.05).after(network, _Windows())
    batch = next(_Windows().calibration(0))
    trained.eval()
    before, after = (label_loss(n, n(batch), batch).loss.mean() for n in (trained, network))
    assert after < 0.8 * before
    head = {"head.weight", "head.bias"}
    assert _moved(trained, network) == (head if part == "head" else set(trained.state_dict()) - {"centre", "spread"})


def test_one_step_of_fine_tuning_is_sgd() -> None:
    """θ − η · weight · ∇L."""
    trained = _network("none").eval()
    network = copy.deepcopy(trained)
    _make(CalibrationFineTuning, weight=0.5, epochs=1, learning_rate=0.2).after(network, _Windows())
    batch = next(_Windows().calibration(0))
    assert trained.head is not None
    assert network.head is not None
    (gradient,) = torch.autograd.grad(label_loss(trained, trained(batch), batch).loss.mean(), trained.head.weight)
    torch.testing.assert_close(network.head.weight, trained.head.weight - 0.2 * 0.5 * gradient)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_prototypes_name_the_nearest_mean(share: float) -> None:
    """At share 0 and 1, scikit-learn's nearest centroid of source and of calibration windows; between, of their mix."""
    network = _network("none")
    _make(PrototypeHead, share=share).after(network, _Windows())
    source, own = list(_Windows().source(0))[:-1], next(_Windows().calibration(0))
    test = next(_Windows().target(0))
    with torch.no_grad():
        here, there, asked = (
            torch.cat([network.read(b).features for b in batches]).numpy() for batches in (source, [own], [test])
        )
        outputs = list(network.split(network(test)).values())
    for i, classes in enumerate((3, 2)):
        labels = torch.cat([b.label[:, i] for b in source]).numpy()
        s = NearestCentroid().fit(here, labels).centroids_
        c = NearestCentroid().fit(there, own.label[:, i].numpy()).centroids_
        mixed = (1 - share) * s + share * c
        squares = ((asked[:, None] - mixed[None]) ** 2).sum(-1)
        logits = outputs[i].numpy()
        np.testing.assert_allclose(
            logits - logits.mean(1, keepdims=True), squares.mean(1, keepdims=True) - squares, atol=2e-3
        )
        assert logits.shape[1] == classes


def test_class_without_calibration_windows_moves_with_the_others() -> None:
    """Two windows: classes 0 and 1 of three. The third prototype moves by the mean of their moves."""
    network = _network("none")
    _make(PrototypeHead, share=1.0).after(network, _Windows(calibration=2))
    assert network.head is not None
    prototypes = network.head.weight[:3].detach()
    reference = _network("none")
    _make(PrototypeHead, share=0.0).after(reference, _Windows(calibration=2))
    assert reference.head is not None
    moves = prototypes - reference.head.weight[:3].detach()
    torch.testing.assert_close(moves[2], (moves[0] + moves[1]) / 2, atol=1e-5, rtol=1e-4)


def test_half_a_prototype_head() -> None:
    trained, whole, half = (_network("none") for _ in range(3))
    _make(PrototypeHead).after(whole, _Windows())
    _make(PrototypeHead, weight=0.5).after(half, _Windows())
    assert isinstance(trained.head, nn.Linear)
    assert isinstance(whole.head, nn.Linear)
    assert isinstance(half.head, nn.Linear)
    torch.testing.assert_close(half.head.weight, (trained.head.weight + whole.head.weight) / 2)


def test_refusals() -> None:
    """Values where classes are needed, a fusion that decides, frozen encoders, a loss that runs away."""
    for kind in (SHOT, TENT, PrototypeHead):
        with pytest.raises(ValueError, match="for values"):
            kind(8, (3, 0), TARGET + 1)
    with pytest.raises(ValueError, match="fusion of decisions"):
        _make(PrototypeHead).check(_network("none", decides=True))
    network = _network("none")
    with pytest.raises(UserError, match="lower the learning_rate"):
        _make(CalibrationFineTuning, part="all", epochs=60, learning_rate=1e6).after(network, _Windows())
    network.encoders.requires_grad_(False)
    for kind in (SHOT, ADDA):
        with pytest.raises(ValueError, match="frozen"):
            _make(kind).check(network)
    encoder = network.encoders["x"]
    assert isinstance(encoder, BandMLP)
    normal = _network("batch")
    normal.encoders["x"] = FrozenEncoder(normal.encoders["x"])
    with pytest.raises(ValueError, match="or frozen"):
        _make(AdaBN).check(normal)


def test_a_compiled_encoder_takes_the_targets_statistics() -> None:
    """As it does where it is not compiled, and though it was run before."""
    plain, compiled = _network("batch"), _network("batch")
    compiled.encoders["x"].compile(backend="aot_eager")
    compiled.eval()(next(_Windows().target(0)))
    for network in (plain, compiled):
        _make(AdaBN).after(network, _Windows())
    assert _moved(_network("batch"), compiled) == _moved(_network("batch"), plain) != set()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(compiled.state_dict()[name], value)


def test_what_a_class_says_it_sees_is_what_its_batches_hold() -> None:
    class Liar(Alignment):
        sees = "nothing"

    with pytest.raises(ValueError, match="set joint = False"):
        _make(Liar)


@pytest.mark.parametrize("kind", [SHOT, CalibrationFineTuning])
def test_one_window_is_enough(kind: Callable[..., Alignment]) -> None:
    """BatchNorm stays as it is, and nothing falls over."""
    network, one = _network("batch"), _batch(30, 1, TARGET, True)

    class One(_Windows):
        def target(self, epoch: int) -> Iterator[Batch]:
            yield one

        def calibration(self, epoch: int) -> Iterator[Batch]:
            yield one

    _make(kind, epochs=2, **({"part": "all"} if kind is CalibrationFineTuning else {})).after(network, One())
    moved = _moved(_network("batch"), network)
    assert moved
    assert not any("running" in name for name in moved)
