"""Domain generalisation and normalisation: equal to their equations, written down a second time."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from affect.alignment import IRM, MLDG, AdaBN, Alignment, AlignmentInput, DomainBatchNorm, GroupDRO, MixStyle, VREx
from affect.alignment.domain_risks import domain_risks, label_risk
from affect.batch import Batch, StreamShape
from affect.encoders import BandMLP, TemporalCNN
from affect.fusion import Concatenation, Decision
from affect.learners.label_loss import labels, risk
from affect.learners.network import Network

DOMAINS = 5
"""Four source people and the target; person 2 is in no batch."""


def _input(seed: int = 0, rows: int = 24) -> AlignmentInput:
    """Two targets, three classes and a value, some of whose labels are missing; two target rows."""
    generator = torch.Generator().manual_seed(seed)
    domain = torch.tensor([0, 1, 3])[torch.randint(0, 3, (rows,), generator=generator)]
    domain[-2:] = DOMAINS - 1
    source = domain < DOMAINS - 1
    logits = torch.randn(rows, 4, generator=generator, dtype=torch.float64)
    number = torch.randint(0, 3, (rows,), generator=generator).double()
    label = torch.stack([number, torch.randn(rows, generator=generator, dtype=torch.float64)], dim=1)
    label[::5, 1] = torch.nan
    label[domain == 3, 0] = torch.nan  # this person never named a class
    label[~source] = torch.nan
    weight = torch.rand(rows, 2, generator=generator, dtype=torch.float64) * ~label.isnan()
    known = torch.where(label.isnan(), 0.0, label)
    each = [F.cross_entropy(logits[:, :3], known[:, 0].long(), reduction="none"), (logits[:, 3] - known[:, 1]) ** 2]
    return AlignmentInput(
        features=torch.randn(rows, 2, generator=generator, dtype=torch.float64),
        logits=logits,
        label=label,
        source=source,
        domain=domain,
        weight=weight,
        progress=0.5,
        risk=torch.stack(each, dim=1) * ~label.isnan(),
    )


def _risks(batch: AlignmentInput, values: Tensor | None = None) -> dict[int, float]:
    """Domain → its risk, row by row."""
    values = batch.risk if values is None else values
    found = {}
    for d in range(DOMAINS):
        means = []
        for q in range(2):
            rows = [i for i in range(len(values)) if batch.domain[i] == d and not batch.label[i, q].isnan()]
            if rows:
                means.append(np.average(values[rows, q].detach(), weights=batch.weight[rows, q]))
        if means:
            found[d] = float(np.mean(means))
    return found


def test_risk_of_a_domain_is_the_mean_of_its_labelled_rows() -> None:
    batch = _input()
    risks, expected = domain_risks(batch.risk, batch.weight, batch.domain, DOMAINS), _risks(batch)
    assert risks.here.tolist() == [1, 1, 0, 1, 0]
    assert {d: pytest.approx(float(risks.each[d])) for d in (0, 1, 3)} == expected
    assert float(risks.mean()) == pytest.approx(np.mean(list(expected.values())))


def test_group_dro_raises_the_share_of_domains_that_lose() -> None:
    """Loss and q over three steps; a domain that is in no batch keeps its q, and the rest keep theirs in sum."""
    dro = GroupDRO(2, (3, 0), DOMAINS, weight=0.7, rate=0.5).double()
    q = dict.fromkeys(range(DOMAINS), 1 / DOMAINS)
    for seed in range(3):
        batch = _input(seed)
        loss, _ = dro(batch)
        risks = _risks(batch)
        grown = {d: q[d] * np.exp(0.5 * r) for d, r in risks.items()}
        scale = sum(q[d] for d in risks) / sum(grown.values())
        q |= {d: share * scale for d, share in grown.items()}
        robust = sum(q[d] * r for d, r in risks.items()) / sum(q[d] for d in risks)
        assert float(loss) == pytest.approx(0.7 * (robust - float(label_risk(batch.risk, batch.weight))))
        assert dro.state_dict()["q"].tolist() == pytest.approx(list(q.values()))
    assert float(dro.q[2]) == pytest.approx(1 / DOMAINS)
    assert sum(q.values()) == pytest.approx(1)


def test_irm_is_the_gradient_of_the_multiplier() -> None:
    """The written-out derivative against one taken twice by autograd: the penalty, and its gradient."""
    batch = _input()
    irm = IRM(2, (3, 0), DOMAINS, weight=3.0)
    logits = batch.logits.requires_grad_()
    (found,) = torch.autograd.grad(irm(batch)[0], logits)

    known = torch.where(batch.label.isnan(), 0.0, batch.label)
    slopes = []
    for d in (0, 1, 3):
        scale = torch.ones((), dtype=torch.float64, requires_grad=True)
        out, means = scale * logits, []
        each = [F.cross_entropy(out[:, :3], known[:, 0].long(), reduction="none"), (out[:, 3] - known[:, 1]) ** 2]
        for q in range(2):
            share = batch.weight[:, q] * (batch.domain == d)
            if share.any():
                means.append((share * each[q]).sum() / share.sum())
        slopes.append(torch.autograd.grad(torch.stack(means).mean(), scale, create_graph=True)[0])
    penalty = 3.0 * torch.stack(slopes).square().mean()
    torch.testing.assert_close(irm(batch)[0], penalty)
    torch.testing.assert_close(found, torch.autograd.grad(penalty, logits)[0])
    assert found.abs().max() > 0.01


def test_vrex_is_the_variance_of_the_risks() -> None:
    batch = _input()
    expected = 2.0 * np.var(list(_risks(batch).values()))
    assert float(VREx(2, (3, 0), DOMAINS, weight=2.0)(batch)[0]) == pytest.approx(expected)


@pytest.mark.parametrize("kind", [IRM, VREx])
def test_penalty_begins_late(kind: type[Alignment]) -> None:
    batch = _input()
    assert float(kind(2, (3, 0), DOMAINS, start=0.6)(batch)[0]) == 0  # type: ignore[call-arg]
    assert float(kind(2, (3, 0), DOMAINS, start=0.5)(batch)[0]) > 0  # type: ignore[call-arg]


def _batch(rows: int = 30, channels: int = 3, length: int = 8, seed: int = 0) -> Batch:
    """Three source people of unlike style and a target; of half of the rows the second stream is absent."""
    generator = torch.Generator().manual_seed(seed)
    person = torch.arange(rows) % 4
    present = torch.stack([torch.ones(rows, dtype=torch.bool), torch.arange(rows) % 8 < 4], dim=1)
    x = torch.randn(rows, channels, length, generator=generator) * (1 + person[:, None, None]) + person[:, None, None]
    y = torch.randn(rows, channels, length, generator=generator) * present[:, 1, None, None]
    label = torch.where(person < 3, torch.randint(0, 2, (rows,), generator=generator).float(), torch.nan)[:, None]
    number = torch.arange(rows)
    return Batch({"x": x, "y": y}, present, label, person < 3, person, (~label.isnan()).float(), number, number, person)


def test_mixstyle_changes_style_and_nothing_else() -> None:
    """μ and σ lie between the row's own and those of a row of another source person; the shape of a window stays."""
    torch.manual_seed(0)
    batch = _batch()
    changed = MixStyle(2, (2,), 4, alpha=1.0, probability=1.0).change(batch)
    own, new = batch.streams["x"], changed.streams["x"]

    def style(x: Tensor) -> Tensor:
        return torch.stack([x.mean(2), x.std(2, correction=0)], dim=1).flatten(1)

    content = (new - new.mean(2, keepdim=True)) / new.std(2, correction=0, keepdim=True)
    torch.testing.assert_close(
        content, (own - own.mean(2, keepdim=True)) / own.std(2, correction=0, keepdim=True), atol=1e-4, rtol=1e-3
    )
    before, after = style(own), style(new)
    for i in range(len(own)):
        if not batch.source[i]:
            assert torch.equal(own[i], new[i])
            continue
        # after = λ before + (1 − λ) other, for one λ and one row of another source person
        fits = []
        for j in torch.nonzero(batch.source & (batch.domain != batch.domain[i]))[:, 0]:
            line = before[j] - before[i]
            share = float((after[i] - before[i]) @ line / (line @ line))
            off = float((after[i] - before[i] - share * line).abs().max())
            fits.append(off < 1e-3 and -1e-4 <= share <= 1 + 1e-4)
        assert any(fits)
    present = batch.present[:, 1]
    assert not changed.streams["y"][~present].any()
    assert not torch.equal(changed.streams["y"][present], batch.streams["y"][present])


def test_mixstyle_needs_another_person_and_its_turn() -> None:
    torch.manual_seed(0)
    batch = _batch()
    batch.domain = torch.zeros_like(batch.domain)
    assert torch.equal(MixStyle(2, (2,), 4, probability=1.0).change(batch).streams["x"], batch.streams["x"])
    assert MixStyle(2, (2,), 4, probability=0.0).change(batch) is batch
    with pytest.raises(ValueError, match="weight 2"):
        MixStyle(2, (2,), 4, weight=2.0)


def _network(norm: str = "none", seed: int = 0) -> Network:
    torch.manual_seed(seed)
    shape = StreamShape(("a", "b", "c"), 8, None)
    encoders = {n: BandMLP(shape, 6, 4, 0.0, 0.0, norm=norm) for n in ("x", "y")}  # type: ignore[arg-type]
    return Network(encoders, Concatenation({"x": 4, "y": 4}), {"happy": 2})


def test_mldg_is_the_gradient_after_the_inner_step() -> None:
    """Against two steps made by hand, on a copy of the network; which person was meta-test is found by trying."""
    network, batch = _network().double(), _batch().to(torch.float64)
    batch.domain, batch.source = batch.domain.long(), batch.source.bool()
    batch.present = batch.present.bool()

    def seen(network: Network) -> Tensor:
        return domain_risks(risk(network, network(batch), batch), batch.weight, batch.domain, 4).each

    def under(parameters: dict[str, Tensor]) -> Tensor:
        return risk(network, torch.func.functional_call(network, parameters, (batch,)), batch)

    reading = network.read(batch)
    given = AlignmentInput(
        features=reading.features,
        logits=reading.outputs,
        label=labels(network, batch),
        source=batch.source,
        domain=batch.domain,
        weight=batch.weight,
        progress=0.0,
        risk=risk(network, reading.outputs, batch),
        parameters=dict(network.named_parameters()),
        risk_under=under,  # type: ignore[arg-type]
    )
    torch.manual_seed(1)
    found = torch.autograd.grad(MLDG(8, (2,), 4, weight=0.5, step=0.3)(given)[0], list(network.parameters()))

    candidates = []
    for test in range(3):
        ahead = copy.deepcopy(network)
        train = torch.stack([r for d, r in enumerate(seen(ahead)[:3]) if d != test]).mean()
        gradients = torch.autograd.grad(train, list(ahead.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(ahead.parameters(), gradients, strict=True):
                parameter -= 0.3 * gradient
        candidates.append(torch.autograd.grad(0.5 * seen(ahead)[test], list(ahead.parameters())))
    right = [
        all(torch.allclose(a, b, rtol=1e-7, atol=1e-10) for a, b in zip(found, c, strict=True)) for c in candidates
    ]
    assert sum(right) == 1


class _Windows:
    """Some batches for each side."""

    def __init__(self, source: list[Batch], target: list[Batch]) -> None:
        self._source, self._target = source, target

    def source(self, epoch: int) -> Iterator[Batch]:
        return iter(self._source)

    def target(self, epoch: int) -> Iterator[Batch]:
        return iter(self._target)

    def calibration(self, epoch: int) -> Iterator[Batch]:
        return iter(())


def _of_target(batch: Batch) -> Batch:
    batch.source, batch.domain = torch.zeros_like(batch.source), torch.full_like(batch.domain, 3)
    return batch


def test_adabn_takes_the_statistics_of_the_target() -> None:
    """Of both layers, exactly, over batches of unlike size and over the rows that have the stream alone."""
    target = [_of_target(_batch(rows, 3, 32, seed)) for seed, rows in enumerate((30, 7))]
    shape = StreamShape(("a", "b", "c"), 32, 16.0)
    torch.manual_seed(0)
    encoders = {name: TemporalCNN(shape, 4, dropout=0.0, norm="batch") for name in ("x", "y")}
    network = Network(encoders, Concatenation({"x": 8, "y": 8}), {"happy": 2})
    half = copy.deepcopy(network)
    AdaBN(16, (2,), 4).after(network, _Windows([], target))
    AdaBN(16, (2,), 4, weight=0.25).after(half, _Windows([], target))
    assert not network.training
    whole = torch.cat([batch.streams["y"][batch.present[:, 1]] for batch in target])
    for block in ("first", "second", "third"):
        encoder, other = network.encoders["y"], half.encoders["y"]
        through = whole
        with torch.no_grad():
            for name in ("first", "second", "third"):
                layers = getattr(encoder, name)
                if name == block:
                    break
                through = layers(through)
            through = layers[0](through)
        norm = layers[1]
        torch.testing.assert_close(norm.running_mean, through.mean(dim=(0, 2)))
        torch.testing.assert_close(norm.running_var, through.var(dim=(0, 2)))
        if block == "first":
            torch.testing.assert_close(getattr(other, block)[1].running_mean, 0.25 * norm.running_mean)
            torch.testing.assert_close(getattr(other, block)[1].running_var, 0.75 + 0.25 * norm.running_var)


def test_adabn_refuses_what_has_no_batch_norm() -> None:
    for norm in ("none", "layer"):
        with pytest.raises(ValueError, match="without BatchNorm"):
            AdaBN(8, (2,), 4).check(_network(norm))
    AdaBN(8, (2,), 4).check(_network("batch"))


@pytest.mark.parametrize("between", ["subjects", "source-target"])
def test_every_domain_is_normalised_by_its_own(between: str) -> None:
    """In training by the rows of the batch; afterwards the target by all its windows, whatever batch they come in."""
    norm = DomainBatchNorm(8, (2,), 4, between=between)  # type: ignore[arg-type]
    torch.manual_seed(0)
    domain = torch.arange(40) % 4
    features = torch.randn(40, 8) * (1 + domain[:, None]) + 5 * domain[:, None]
    out = norm.transform(features, domain, domain < 3)
    groups = [domain == d for d in range(4)] if between == "subjects" else [domain < 3, domain == 3]
    for rows in groups:
        torch.testing.assert_close(out[rows].mean(dim=0), torch.zeros(8), atol=1e-5, rtol=0)
        torch.testing.assert_close(out[rows].std(dim=0, correction=0), torch.ones(8), atol=1e-3, rtol=0)

    network = _network()
    network.transform = norm.transform
    source, target = [_batch(seed=1), _batch(seed=2)], [_of_target(_batch(seed=3)), _of_target(_batch(9, seed=4))]
    for batch in source:
        batch.domain = batch.subject % 3
        batch.source = torch.ones_like(batch.source)
    norm.after(network, _Windows(source, target))
    for batches in (source, target):
        read = torch.cat([network.read(batch).features for batch in batches]).detach()
        varies = read.std(dim=0) > 0.1
        torch.testing.assert_close(read.mean(dim=0), torch.zeros(8), atol=1e-3, rtol=0)
        torch.testing.assert_close(
            read.std(dim=0, correction=0)[varies], torch.ones(int(varies.sum())), atol=1e-2, rtol=0
        )
        assert varies.any()
    torch.testing.assert_close(norm.state_dict()["mean"], norm.mean)


def test_normalisation_goes_part_of_the_way_and_not_beyond() -> None:
    features, domain = torch.randn(10, 3), torch.arange(10) % 2
    whole = DomainBatchNorm(3, (2,), 2).transform(features, domain, domain < 1)
    half = DomainBatchNorm(3, (2,), 2, weight=0.5).transform(features, domain, domain < 1)
    torch.testing.assert_close(half, (features + whole) / 2)
    for kind in (AdaBN, DomainBatchNorm):
        with pytest.raises(ValueError, match="weight 2"):
            kind(3, (2,), 2, weight=2.0)
    shape = StreamShape(("a",), 2, None)
    decides = Network({"x": BandMLP(shape)}, Decision({"x": 64}), {"happy": 2})
    with pytest.raises(ValueError, match="fusion of decisions"):
        DomainBatchNorm(64, (2,), 2).check(decides)
