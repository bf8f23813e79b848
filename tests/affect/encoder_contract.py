"""What every encoder around a published backbone owes, whatever it is made of."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from affect.encoders import Encoder
from affect.errors import UserError

Make = Callable[[], Encoder]


def check_contract(make: Make, x: Tensor) -> None:
    """(B, …) → (B, D), no row knows its neighbours, every parameter learns and is in one block; saved is restored."""
    torch.manual_seed(0)
    encoder = make()
    encoder(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    found = [id(p) for block in encoder.blocks() for p in block.parameters()]
    assert sorted(found) == sorted(id(p) for p in encoder.parameters())
    encoder.eval()
    embedding = encoder(x)
    assert embedding.shape == (len(x), encoder.out_dim)
    torch.testing.assert_close(encoder(x[1:2])[0], embedding[1], atol=1e-5, rtol=1e-4)
    other = make().eval()
    assert not torch.allclose(other(x), embedding, atol=1e-3)
    other.fill({k: v.half() if v.is_floating_point() else v for k, v in encoder.state_dict().items()}, "a file")
    torch.testing.assert_close(other(x), embedding, atol=3e-2, rtol=3e-2)
    other.fill(encoder.state_dict(), "a file")
    assert torch.equal(other(x), embedding)


def check_stacked(make: Make, x: Tensor) -> None:
    """Several encoders of one shape can run as one, as stacked folds do."""
    encoders = [make().eval() for _ in range(2)]
    parameters, buffers = stack_module_state(encoders)  # type: ignore[arg-type]
    stacked = vmap(lambda p, b: functional_call(encoders[0], (p, b), (x,)))(parameters, buffers)
    torch.testing.assert_close(stacked, torch.stack([encoder(x) for encoder in encoders]), atol=1e-4, rtol=1e-3)


def check_no_weight_stays_random(encoder: Encoder, published: Mapping[str, Tensor]) -> None:
    """Under its own and under published names: missing, unknown and misshapen tensors are told, and nothing filled."""
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    for whole in (before, dict(published)):
        name = next(n for n in whole if n.endswith("weight") and whole[n].ndim > 2)
        wrong = {
            rf"1 missing: {name}": {k: v for k, v in whole.items() if k != name},
            r"1 unknown: foreign": whole | {"foreign": torch.zeros(1)},
            rf"1 of another shape: {name} \(5,\) instead of": whole | {name: torch.zeros(5)},
        }
        for told, state in wrong.items():
            with pytest.raises(UserError, match=told) as caught:
                encoder.fill(state, "there.pth")
            assert caught.value.where == "there.pth"
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


def firsts(encoder: Encoder) -> list[str]:
    """The name of the first parameter in each block."""
    names = {id(p): n for n, p in encoder.named_parameters()}
    return [names[id(next(block.parameters()))] for block in encoder.blocks()]
