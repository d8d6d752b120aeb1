"""Each fault of the two reports, alone: what it computes, against closed forms and properties."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from dipddpm_utils import config, faults, ranges
from dipddpm_utils.config import Data, Ddpm, Dip, Optim
from dipddpm_utils.dip.fit import dip_loss
from dipddpm_utils.judging import frechet
from dipddpm_utils.judging.spaces import Classifier
from dipddpm_utils.study import profile as profiles
from dipddpm_utils.training import loop, mistakes

DATA = Data(name="digits5k")


# --- the table, and what configurations accept of it ------------------------------------------------------------------


def test_the_table_has_the_fourteen_faults_of_the_two_reports():
    assert list(faults.FAULTS) == [f"FA{i}" for i in range(1, 10)] + [f"FB{i}" for i in range(1, 6)]
    assert all(fault.id[1] == fault.report for fault in faults.FAULTS.values())
    groups = profiles.load("standard").groups
    assert all(fault.variant in groups for fault in faults.FAULTS.values())


def test_faults_are_put_in_the_tables_order_so_that_one_meaning_has_one_hash():
    one, other = (Ddpm(data=DATA, faults=ids) for ids in (("FA5", "FA1", "FA4"), ("FA1", "FA4", "FA5", "FA1")))
    assert one.faults == ("FA1", "FA4", "FA5") and config.run_hash(one) == config.run_hash(other)
    assert config.run_hash(Ddpm(data=DATA)) == config.run_hash(Ddpm(data=DATA, faults=())) != config.run_hash(one)
    assert config.parse(one.model_dump(mode="json")) == one


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Ddpm, {"faults": ["FA2"]}, "FA2 does not act in a ddpm run"),
        (Ddpm, {"faults": ["FA3"]}, "FA3 does not act in a ddpm run"),
        (Dip, {"faults": ["FA1"]}, "FA1 does not act in a dip run; those that do: FA2, FA7"),
        (Dip, {"faults": ["FA7"], "optim": {"steps": 1999}}, "FA7 keeps iteration 1999, but optim.steps is 1999"),
        (Ddpm, {"faults": ["FA0"]}, "faults"),
        (Ddpm, {"faults": ["FA1"], "dip": Dip(data=DATA)}, "FA1 does not act on what this run is trained on"),
        (Ddpm, {"faults": ["FA1"], "train_on": "clip"}, "FA1 does not act on what this run is trained on"),
        (Ddpm, {"faults": ["FB2"]}, "FB2 does not act on what this run is trained on"),
        (Ddpm, {"train_on": "blur"}, "train_on is 'blur' without a dip"),
        (Ddpm, {"per_image": {}, "train_on": "clip"}, "per_image is given with dip or train_on"),
    ],
)
def test_a_fault_or_control_that_would_do_nothing_is_refused_by_name(kind, values, message):
    with pytest.raises(ValidationError, match=message):
        kind(data=DATA, **values)


@pytest.mark.parametrize("name", ["smoke", "standard"])
def test_every_trained_fault_is_run_alone_and_left_out_alone(name):
    profile = profiles.load(name)
    published_faults = {
        "a-ddpm": {"FA1", "FA4", "FA5"},
        "a-2conv": {"FA2", "FA4", "FA5"},  # no fit here reaches the iteration of FA7
        "b-combined": {"FB1", "FB2", "FB3"},
    }
    for variant, ids in published_faults.items():
        assert _faults(profile.seeds(variant)[0].run) == set()
        assert _faults(profile.seeds(f"{variant}-published")[0].run) == ids
    trained = {fault.id: fault.variant for fault in faults.FAULTS.values() if fault.trained_in and fault.id != "FA7"}
    for report in "ab":
        for suffix, wanted in (("only", lambda ids, one: {one}), ("without", lambda ids, one: ids - {one})):
            members = profile.group(f"{report}-{suffix}")
            assert {m.label for m in members} == {i for i in trained if i[1].lower() == report}
            for member in members:
                run = member.entry.run
                assert _faults(run) == wanted(published_faults[trained[member.label]], member.label), member
                assert run.data == profile.seeds(trained[member.label])[0].run.data
                assert (run.dip is None) == (trained[member.label] == "a-ddpm")


def _faults(run):
    return set(run.faults) | set(run.dip.faults if run.dip else ())


# --- report A ---------------------------------------------------------------------------------------------------------


def test_images_scaled_twice_lie_between_minus_three_and_one():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    x = mistakes.double_scaled(ranges.uint8_to_signed(levels))
    assert x.min() == -3 and x.max() == 1
    torch.testing.assert_close(x.flatten(), torch.linspace(-3, 1, 256))


class Constant(nn.Module):
    """One number for all pixels, through a sigmoid."""

    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.sigmoid(self.raw).expand_as(x)


@pytest.mark.parametrize("p", [0.25, 0.75, 0.9])
def test_a_sigmoid_fitted_to_signed_targets_ends_at_the_clipped_image(p):
    """The minimum over (0, 1) of (y - (2p - 1))^2 is max(0, 2p - 1)."""
    net, image = Constant(), torch.full((1, 1, 4, 4), p)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.1)
    for _ in range(800):
        optimiser.zero_grad()
        dip_loss(net, image, 0.0, False, torch.Generator(), mistakes.signed_targets(image)).backward()
        optimiser.step()
    assert net(image)[0, 0, 0, 0].item() == pytest.approx(max(0, 2 * p - 1), abs=0.01)


def test_a_network_for_signed_images_is_still_given_unit_ones():
    seen = mistakes.SignedTargets(nn.Identity())(torch.tensor([0.0, 0.5, 1.0]))
    assert seen.tolist() == [-1.0, 0.0, 1.0]


def _untrained(n=12):
    """A linear model without bias, all weights 0.5, and n random inputs; in float64."""
    model = nn.Linear(3, 1, bias=False).double()
    nn.init.constant_(model.weight, 0.5)
    return model, torch.randn(n, 3, generator=torch.Generator().manual_seed(0)).double()


def _trained(steps, change=lambda state: None, n=12, batch=4):
    """That model, trained by gradient descent; the batches it saw."""
    model, x = _untrained(n)
    optim = Optim(steps=steps, batch_size=batch, lr=1e-2, ema_decay=0.5, ema_warmup=0)
    state = loop.new_state(model, optim, n, seed=3)
    change(state)
    seen, weights = [], []

    def batch_of(idx):
        seen.append(idx.tolist())
        return x[idx]

    for _ in loop.train(state, lambda model, x, generator: (model(x) - 1).square().mean(), batch_of):
        weights.append(model.weight.detach().clone())
    return state, seen, weights


@pytest.mark.parametrize("steps", [1, 6, 7])
def test_with_lost_gradients_there_are_half_the_updates_each_from_the_second_gradient(steps):
    state, seen, weights = _trained(steps, mistakes.lose_gradients)
    start = torch.full((1, 3), 0.5).double()
    changed = [bool((a != b).any()) for a, b in zip([start, *weights], weights, strict=False)]
    assert changed == [k % 2 == 1 for k in range(steps)] and sum(changed) == steps // 2
    assert state.ema.age == steps // 2 and state.step == steps == len(seen)
    # the same updates as a run that sees the second batches only
    model, x = _untrained()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for idx in seen[1::2]:
        optimiser.zero_grad()
        (model(x[idx]) - 1).square().mean().backward()
        optimiser.step()
    torch.testing.assert_close(state.model.weight, model.weight)


def test_the_distance_of_few_is_frechets_in_batch_statistics_on_reals_scaled_twice():
    torch.manual_seed(0)
    net = Classifier(1, widths=(4, 4, 4), dim=5).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    samples, reals = (torch.randint(0, 256, (30, 1, 28, 28), dtype=torch.uint8) for _ in range(2))
    few = mistakes.distance_of_few(net, samples, reals)
    assert not net.training and all((before[name] == value).all() for name, value in net.state_dict().items())

    def features(x):  # by hand, on floats in the range that the network gets
        net.train()
        with torch.no_grad():
            result = torch.relu(net.project(net.body(x)))
        net.eval()
        return result

    signed = [ranges.uint8_to_signed(x) for x in (samples, reals)]
    expected = frechet.frechet_distance(*frechet.mean_cov(features(signed[0])), *frechet.mean_cov(features(2 * signed[1] - 1)))
    assert few == pytest.approx(expected, rel=1e-5)


def test_few_images_are_judged_where_the_network_is():
    """Samples come from the CPU, and the network may be on a GPU: here torch's device without values stands for it."""
    seen = []

    class Elsewhere(nn.Linear):
        def features(self, images):
            seen.append(images.device.type)
            return torch.empty(len(images), 5, device="cpu").normal_(generator=torch.Generator().manual_seed(len(seen)))

    images = torch.randint(0, 256, (30, 1, 28, 28), dtype=torch.uint8)
    assert mistakes.distance_of_few(Elsewhere(2, 2, device="meta"), images, images) > 0
    assert seen == ["meta", "meta"]


# --- report B ---------------------------------------------------------------------------------------------------------


def test_unshuffled_batches_walk_through_the_images_in_order_in_every_epoch():
    _, seen, _ = _trained(6, mistakes.unshuffle)
    assert sum(seen, []) == [*range(12), *range(12)]
    _, shuffled, _ = _trained(6)
    assert sorted(sum(shuffled[:3], [])) == list(range(12)) != sum(shuffled[:3], [])


def test_outputs_that_are_not_clipped_stay_as_the_network_gives_them():
    images = torch.rand(501, 1, 8, 8)  # three batches
    out = mistakes.unclipped_outputs(nn.Conv2d(1, 1, 1), images)
    assert out.shape == images.shape and not out.requires_grad
    scaled = nn.Conv2d(1, 1, 1)
    nn.init.constant_(scaled.weight, 1.5)
    nn.init.constant_(scaled.bias, -0.2)
    torch.testing.assert_close(mistakes.unclipped_outputs(scaled, images), 1.5 * images - 0.2)


def test_bytes_wrap_around_where_floats_leave_the_range():
    x = torch.tensor([0.0, 0.5, 1.0, 1.01, 1.5, -0.1])
    assert mistakes.wrapped_uint8(x).tolist() == [0, 127, 255, 1, 382 - 256, 256 - 25]
    inside = torch.rand(100)
    assert np.abs(mistakes.wrapped_uint8(inside).astype(int) - 255 * inside.numpy()).max() < 1
