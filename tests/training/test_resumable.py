"""How often a training is saved: as often as a kill may cost, and no more than a share of the time."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dipddpm_utils.config import Optim
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.training import loop, resumable


@pytest.mark.parametrize(("seconds", "at"), [(0.25, [21, 42, 63, 84, 100]), (1.0, [21, 72, 100])])
def test_saving_takes_no_more_than_its_share_of_the_time(seconds, at, tmp_path, monkeypatch):
    """A step takes one second here; a save that takes one second is due after fifty, or after twenty if it is shorter."""
    now, saved = [0.0], []
    monkeypatch.setattr(resumable, "time", SimpleNamespace(monotonic=lambda: now[0]))
    state = loop.new_state(nn.Linear(2, 2), Optim(batch_size=2, steps=100), 4, 0, "cpu")

    def save(*_, **__):
        saved.append(state.step)
        now[0] += seconds

    def batch(rows):
        now[0] += 1
        return torch.ones(len(rows), 2)

    monkeypatch.setattr(state, "save", save)
    work = SimpleNamespace(folder=tmp_path, label="made up", budget=Budget())
    resumable.train_resumably(state, lambda model, x, _: model(x).square().mean(), batch, work)
    assert saved == at
