"""DANN: the reversed gradient is exact, acts on the encoder only, and does what the paper says it does."""

import math

import pytest
import torch
from torch import Tensor, nn

from affect.alignment import DANN, AlignmentInput
from affect.alignment.reversal import reverse_gradient


def _inputs(features: Tensor, source: Tensor, domain: Tensor, progress: float = 1.0) -> AlignmentInput:
    rows = len(features)
    return AlignmentInput(
        features=features,
        logits=torch.zeros(rows, 2),
        label=torch.zeros(rows, 1),
        source=source,
        domain=domain,
        weight=torch.ones(rows, 1),
        progress=progress,
    )


@pytest.mark.parametrize("strength", [0.0, 0.3, 2.0])
def test_gradient_is_the_reversed_finite_difference(strength: float) -> None:
    """d/dx of f(GRL(x)) is −λ times the central difference of f."""
    torch.manual_seed(0)
    weight = torch.randn(5, 3, dtype=torch.float64)

    def loss(x: Tensor) -> Tensor:
        return (x @ weight).tanh().pow(2).sum()

    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(reverse_gradient(x, strength)), x)
    step, difference = 1e-6, torch.zeros_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            shift = torch.zeros_like(x)
            shift[i, j] = step
            difference[i, j] = ((loss(x + shift) - loss(x - shift)) / (2 * step)).detach()
    assert difference.abs().max() > 0.1
    torch.testing.assert_close(gradient, -strength * difference, atol=1e-7, rtol=1e-6)


def test_reversal_is_identity_forward_and_transformable_by_vmap() -> None:
    """Stacked folds will need torch.func: the Function maps over a batch of models."""
    x = torch.randn(3, 4)
    assert torch.equal(reverse_gradient(x, 0.7), x)

    def loss(row: Tensor) -> Tensor:
        return reverse_gradient(row, 0.7).pow(2).sum()

    torch.testing.assert_close(torch.func.vmap(torch.func.grad(loss))(x), -0.7 * 2 * x)


def test_lambda_follows_the_paper() -> None:
    """λ_p = 2 / (1 + e^(−10 p)) − 1, times the weight."""
    dann = DANN(4, (2,), 3, weight=0.5)
    assert dann.strength(0.0) == 0.0
    for progress in (0.1, 0.5, 1.0):
        assert dann.strength(progress) == pytest.approx(0.5 * (2 / (1 + math.exp(-10 * progress)) - 1))
    assert DANN(4, (2,), 3, weight=0.5, schedule="constant").strength(0.0) == 0.5


def test_lambda_scales_the_encoder_gradient_and_not_the_domain_head() -> None:
    """Halving λ halves what the encoder gets and leaves the head's gradient as it is."""
    torch.manual_seed(0)
    dann = DANN(4, (2,), 3, schedule="constant", between="subjects")
    domain = torch.tensor([0, 1, 2, 2, 0, 1])
    source, features = domain < 2, torch.randn(6, 4)
    seen = []
    for weight in (1.0, 0.5, 0.0):
        dann.weight = weight
        x = features.clone().requires_grad_()
        loss, _ = dann(_inputs(x, source, domain))
        seen.append(torch.autograd.grad(loss, [x, *dann.parameters()]))
    for full, half, none in zip(*seen, strict=True):
        torch.testing.assert_close(half if full is not seen[0][0] else 2 * half, full)
        assert full is not seen[0][0] or not none.any()


@pytest.mark.parametrize(("between", "size"), [("subjects", 3), ("source-target", 2)])
def test_domains_and_chance(between: str, size: int) -> None:
    """K + 1 domains or two; chance is the share of the most frequent one in the batch."""
    dann = DANN(4, (2,), 3, between=between)  # type: ignore[arg-type]
    domain = torch.tensor([0, 1, 2, 2, 2, 2])
    logits = dann.head(torch.zeros(6, 4))
    _, numbers = dann(_inputs(torch.randn(6, 4), domain < 2, domain))
    assert logits.shape == (6, size)
    assert numbers["domain_chance"] == pytest.approx(4 / 6)
    assert 0 <= numbers["domain_accuracy"] <= 1


def _two_domains(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Label along axis 0, domain along axis 1, both separable; 8 axes of noise."""
    label = torch.randint(0, 2, (256,), generator=generator)
    source = torch.arange(256) < 128
    x = torch.randn(256, 10, generator=generator)
    x[:, 0] += 6.0 * label - 3.0
    x[:, 1] += 6.0 * source - 3.0
    return x, label, source


def _train(frozen: bool, seed: int) -> tuple[float, float]:
    """(domain, label) accuracy over the last quarter of training, every step on fresh data.

    The encoder is frozen or adversarial; Adam's first moment is short, as is usual for two players.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 16))
    head, dann = nn.Linear(16, 2), DANN(16, (2,), 2, weight=0.3, between="source-target", hidden=64)
    trained = [*head.parameters(), *dann.parameters(), *([] if frozen else encoder.parameters())]
    steps = 200 if frozen else 800
    optimizer = torch.optim.Adam(trained, lr=3e-3, betas=(0.5, 0.999))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    domain, right = [], []
    for step in range(steps):
        x, label, source = _two_domains(generator)
        features = encoder(x)
        logits = head(features)
        aligned, numbers = dann(_inputs(features, source, (~source).long(), step / steps))
        loss = nn.functional.cross_entropy(logits[source], label[source]) + aligned
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        domain.append(float(numbers["domain_accuracy"]))
        right.append(float((logits.argmax(1) == label)[~source].float().mean()))
    last = steps // 4
    return sum(domain[-last:]) / last, sum(right[-last:]) / last


def test_adversary_lives_and_is_beaten() -> None:
    """Frozen encoder: the domain head finds the domains (> .95). With the reversal: it cannot (< .6), labels stay.

    Two players circle each other, so the beaten head's accuracy is a mean over seeds.
    """
    frozen = [_train(frozen=True, seed=seed)[0] for seed in range(2)]
    adversarial = [_train(frozen=False, seed=seed) for seed in range(4)]
    assert min(frozen) > 0.95
    assert sum(domain for domain, _ in adversarial) / 4 < 0.6
    assert min(label for _, label in adversarial) > 0.95
