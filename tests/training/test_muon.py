"""Muon: updates are orthogonal and of an Adam update's size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dipddpm_utils.config import Optim
from dipddpm_utils.training import loop
from dipddpm_utils.training.muon import ITERATIONS, QUINTIC, RMS, Muon, orthogonalised


@settings(max_examples=20, deadline=None, derandomize=True)  # of 6 000 random cases 0.4% lie up to 0.1 off, by rounding
@given(st.integers(2, 24), st.integers(2, 24), st.integers(0, 99))
def test_singular_values_move_near_one_and_vectors_stay(m, n, seed):
    u, _, vt = torch.linalg.svd(torch.randn(m, n, generator=torch.Generator().manual_seed(seed)), full_matrices=False)
    x = u * torch.linspace(0.2, 1.0, min(m, n)) @ vt
    y = orthogonalised(x[None])[0]
    assert ((torch.linalg.svdvals(y) > 0.5) & (torch.linalg.svdvals(y) < 1.4)).all()
    core = u.mT @ y @ vt.mT  # y = u diag(.) vt: nothing off the diagonal, up to bfloat16
    assert (core - torch.diag(core.diagonal())).abs().max() < 0.06


@pytest.mark.parametrize("rank", [1, 3, 24])
def test_it_is_newton_schulz_and_stays_bounded_where_a_gradient_has_few_directions(rank):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, 24, rank, generator=generator) @ torch.randn(3, rank, 90, generator=generator)
    a, b, c = QUINTIC
    expected = x.double() / x.double().norm(dim=(-2, -1), keepdim=True)
    for _ in range(ITERATIONS):
        square = expected @ expected.mT
        expected = a * expected + (b * square + c * square @ square) @ expected
    made = orthogonalised(x).double()
    assert torch.linalg.matrix_norm(made, 2).max() < 1.4
    if rank == 24:  # else what bfloat16 adds in the empty directions is blown up to the same size as the rest
        assert (made - expected).norm() / expected.norm() < 0.05


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (8, 4, 3, 3)])
def test_a_step_has_the_size_of_an_adam_step(shape):
    p = torch.nn.Parameter(torch.zeros(shape))
    p.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    Muon([p], lr=0.1).step()
    rms = p.detach().square().mean().sqrt().item() / 0.1
    assert rms == pytest.approx(RMS, rel=0.3)
    assert (p.detach() * p.grad).sum() < 0  # downhill


def test_weights_of_one_shape_are_updated_as_if_alone():
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(6, 5, generator=generator) for _ in range(3)]
    together = [torch.nn.Parameter(torch.ones(6, 5)) for _ in grads]
    for p, g in zip(together, grads, strict=True):
        p.grad = g
    Muon(together, lr=0.1, weight_decay=0.5).step()
    for p, g in zip(together, grads, strict=True):
        alone = torch.nn.Parameter(torch.ones(6, 5))
        alone.grad = g
        Muon([alone], lr=0.1, weight_decay=0.5).step()
        torch.testing.assert_close(p, alone, atol=2e-3, rtol=0)


def test_vectors_go_to_adamw_and_the_rates_are_those_of_the_loop():
    net = torch.nn.Linear(4, 3)
    state = loop.new_state(net, Optim(name="muon", lr=0.1, steps=1, batch_size=2), 2, 0)
    assert [[tuple(p.shape) for p in one.param_groups[0]["params"]] for one in state.optimisers] == [[(3, 4)], [(3,)]]
    before = net.bias.detach().clone()
    list(loop.train(state, lambda model, batch, generator: model(batch).sum(), lambda indices: torch.ones(2, 4)))
    torch.testing.assert_close((net.bias - before).abs(), torch.full((3,), 0.05))  # Adam's first step is its rate


def test_with_kernels_only_a_linear_layer_is_left_to_adamw():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Linear(4, 3))
    state = loop.new_state(net, Optim(name="muon", kernels_only=True), 1, 0)
    muon, adamw = ({id(p) for group in part.param_groups for p in group["params"]} for part in state.optimisers)
    assert muon == {id(net[0].weight)} and adamw == {id(net[0].bias), id(net[1].weight), id(net[1].bias)}


@pytest.mark.parametrize("shape", [(6, 5), (16, 40)])
@pytest.mark.parametrize("decay", [{}, {"weight_decay": 0.5}])
def test_steps_are_those_of_torchs_own_muon(shape, decay):
    generator = torch.Generator().manual_seed(1)
    ours, theirs, idle = (torch.nn.Parameter(torch.ones(shape)) for _ in range(3))
    oracle = torch.optim.Muon([theirs], lr=0.1, adjust_lr_fn="match_rms_adamw", **{"weight_decay": 0.0, **decay})
    optimiser = Muon([ours, idle], lr=0.1, **decay)
    for _ in range(3):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        optimiser.step()
        oracle.step()
    assert (ours - theirs).norm() < 0.02 * (theirs - 1).norm() and torch.equal(idle, torch.ones(shape))


def test_weights_decay_by_rate_times_decay_beside_the_update():
    generator = torch.Generator().manual_seed(1)
    g, ends = torch.randn(6, 5, generator=generator), []
    for decay in (0.0, 0.5):
        p = torch.nn.Parameter(torch.ones(6, 5))
        p.grad = g.clone()
        Muon([p], lr=0.1, weight_decay=decay).step()
        ends.append(p.detach())
    torch.testing.assert_close(ends[0] - ends[1], torch.full((6, 5), 0.1 * 0.5))
