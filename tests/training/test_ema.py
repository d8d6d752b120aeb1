"""The weight average: against its recurrence in float64, and its guard."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dipddpm_utils.machine.errors import TrainingError
from dipddpm_utils.training.ema import Ema


def _set(model, value):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1), st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_average_follows_its_recurrence(decay, values):
    model = nn.Linear(2, 3).double()
    _set(model, 1.0)
    ema, expected = Ema(model, decay), 1.0
    for n, value in enumerate(values):
        _set(model, value)
        ema.update_parameters(model)
        kept = min(decay, (1 + n) / (10 + n))
        expected = kept * expected + (1 - kept) * value
    assert ema.age == len(values)
    for parameter in ema.module.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, expected), rtol=1e-12, atol=1e-12)


class Asked(TorchDispatchMode):
    """Keeps the names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.append(str(operation))
        return operation(*args, **(kwargs or {}))


def test_an_update_moves_no_number_between_devices():
    """Meta tensors stand for those on a GPU, for which the CPU would have to wait: they cannot be read at all."""
    model = nn.BatchNorm1d(3, device="meta")
    ema = Ema(model)
    with Asked() as asked:
        ema.update_parameters(model)
    assert any("lerp" in name for name in asked.names) and not any("_to_copy" in name for name in asked.names)
    assert ema.age == 1


def test_the_copy_is_separate_frozen_and_in_evaluation_mode():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    ema = Ema(model)
    assert not ema.module.training and model.training
    assert not any(p.requires_grad for p in ema.module.parameters()) and all(p.requires_grad for p in model.parameters())
    before = model[0].weight.clone()
    ema.update_parameters(model)
    assert torch.equal(model[0].weight, before)


def test_buffers_are_copied():
    model = nn.BatchNorm1d(3)
    ema = Ema(model)
    model(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)) + 5)
    ema.update_parameters(model)
    assert torch.equal(ema.module.running_mean, model.running_mean) and ema.module.num_batches_tracked == 1


def test_it_refuses_to_be_sampled_from_before_its_warmup():
    model = nn.Linear(1, 1)
    ema = Ema(model, warmup=2)
    for age in range(2):
        with pytest.raises(TrainingError, match=f"is {age} updates old, expected at least 2 .*ema_warmup"):
            ema.check_ready()
        ema.update_parameters(model)
    ema.check_ready()


def test_state_goes_on_to_the_same_bits():
    torch_rng = torch.Generator().manual_seed(0)
    model = nn.Linear(4, 4)
    first = Ema(model, 0.9)
    second = Ema(model, 0.9)
    first.update_parameters(model)
    state = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
    second.load_state_dict(state)
    assert second.age == 1
    with torch.no_grad():
        model.weight.copy_(torch.randn(4, 4, generator=torch_rng))
    first.update_parameters(model)
    second.update_parameters(model)
    assert torch.equal(first.module.weight, second.module.weight)
    with pytest.raises(RuntimeError):
        Ema(nn.Linear(3, 3)).load_state_dict(state)


@pytest.mark.parametrize(("decay", "warmup"), [(1.1, 0), (-0.1, 0), (0.9, -1)])
def test_a_pace_that_cannot_be_is_refused(decay, warmup):
    with pytest.raises(ValueError, match=f"decay, warmup are {decay}, {warmup}"):
        Ema(nn.Linear(1, 1), decay=decay, warmup=warmup)
