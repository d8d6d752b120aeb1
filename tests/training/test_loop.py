"""The training loop against a plain torch loop, its data order, its learning rates, and what it does when things go wrong."""

import contextlib
import itertools
import math
import platform
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dipddpm_utils.config import Optim
from dipddpm_utils.machine import budget as machine_budget
from dipddpm_utils.machine import device as machine_device
from dipddpm_utils.machine import errors, streams
from dipddpm_utils.training import checkpoint, launched, loop
from dipddpm_utils.training import state as states

CPU = torch.device("cpu")
IMAGES = torch.rand(22, 1, 6, 6, generator=streams.generator(0, "images"))


def net() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 1, 3, padding=1))


def denoise(model, batch, generator):
    return (model(batch + torch.randn(batch.shape, generator=generator)).float() - batch).square().mean()


def batches(indices):
    return IMAGES[indices]


def new(optim: Optim, device: str = "cpu") -> loop.State:
    return loop.new_state(net(), optim, len(IMAGES), seed=3, device=device)


def run(state: loop.State, steps: int | None = None, loss_fn=denoise) -> list[float]:
    """The losses of that many steps, or of all."""
    return [loss.item() for loss in itertools.islice(loop.train(state, loss_fn, batches), steps)]


# --- the loop ---


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_it_is_a_plain_torch_loop(name):
    """Written again in the plainest way, with torch's unfused optimiser and schedulers; equal up to rounding."""
    optim = Optim(name=name, lr=0.01, weight_decay=0.1, batch_size=4, steps=12, warmup_steps=3, decay="cosine", grad_clip=0.5)
    state = new(optim)
    losses = run(state)

    model, order = net(), loop.Order(len(IMAGES), 3, CPU)
    plain = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](
        model.parameters(), lr=0.01, weight_decay=0.1, fused=False, foreach=False
    )
    generator, expected = streams.generator(3, "training"), []
    warm = torch.optim.lr_scheduler.LambdaLR(plain, lambda k: (k + 1) / 3)
    for k in range(12):
        if k == 3:
            for group in plain.param_groups:
                group["lr"] = group["initial_lr"] = 0.01
            cosine = torch.optim.lr_scheduler.CosineAnnealingLR(plain, T_max=9)
        loss = denoise(model, IMAGES[order.next(4)], generator)
        plain.zero_grad()
        loss.backward()
        total = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
        for p in model.parameters():
            p.grad.mul_(min(1.0, 0.5 / (total.item() + 1e-6)))
        plain.step()
        (warm if k < 3 else cosine).step()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, rel=1e-5)
    for ours, theirs in zip(state.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_steps_report_what_was_done_and_seconds_leave_the_caller_out(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(loop, "clock", lambda device: lambda: clock[0])

    def loss_fn(model, batch, generator):
        clock[0] += 2
        return denoise(model, batch, generator)

    state, steps = new(Optim(batch_size=4, steps=5, lr=0.01, warmup_steps=2)), []
    for loss in loop.train(state, loss_fn, batches):
        steps.append((state.step, state.images, state.optimisers[0].param_groups[0]["lr"], state.synchronise()))
        assert math.isfinite(loss)
        clock[0] += 100  # an evaluation, a checkpoint
    assert steps == [(k, 4 * k, 0.005 if k == 1 else 0.01, 2 * k) for k in range(1, 6)]
    assert list(loop.train(state, denoise, batches)) == [], "a finished state has nothing left to do"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["adam", "muon"])
def test_two_n_steps_are_n_steps_a_checkpoint_and_n_steps(tmp_path, monkeypatch, precision, channels_last, name):
    format = torch.channels_last if channels_last else torch.contiguous_format
    monkeypatch.setattr(states, "layout", lambda optim, device: format)
    average = {"ema_decay": 0.9, "ema_warmup": 3}
    optim = Optim(name=name, batch_size=5, steps=14, lr=0.01, precision=precision, decay="linear", **average)
    straight = new(optim)
    losses = run(straight)
    first = new(optim)
    assert run(first, 7) == losses[:7]
    first.save(tmp_path, extra={"seen": [1, 2]})
    torch.rand(3)  # what others draw from the global stream does not matter
    second = new(optim)
    assert second.resume(tmp_path) == ({"seen": [1, 2]}, None)
    assert second.seconds == first.seconds
    assert run(second) == losses[7:]
    (a, rest_a), (b, rest_b) = (checkpoint.flatten({**one.tree(), "seconds": 0}) for one in (straight, second))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a) and rest_a == rest_b
    assert all(p.dtype == torch.float32 for p in second.model.parameters())


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    run(new(Optim(batch_size=5, steps=3)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("format", ["bfloat16", "float16", "float32"])
def test_a_network_runs_in_the_format_that_the_hardware_has(format, monkeypatch):
    monkeypatch.setattr(machine_device, "_short_format", lambda kind: format)
    seen = []

    def loss_fn(model, batch, generator):
        out = model(batch)
        seen.append(out.dtype)
        return out.float().square().mean()

    state = new(Optim(batch_size=4, steps=1, precision="bfloat16"))
    run(state, loss_fn=loss_fn)
    assert seen == [getattr(torch, format)] and state.scaler.is_enabled() == (format == "float16")


def test_in_float16_an_overflow_in_the_gradients_of_one_optimiser_stops_both(monkeypatch):
    """Clipping is over the gradients of both, so an infinite one makes all others zero, or NaN."""
    monkeypatch.setattr(machine_device, "_short_format", lambda kind: "float16")
    state = new(Optim(name="muon", batch_size=4, steps=3, precision="bfloat16", grad_clip=1.0, weight_decay=0.1))

    def loss_fn(model, batch, generator):
        bias = next(p for p in model.parameters() if p.ndim == 1)
        return denoise(model, batch, generator) + bias.sum() * (1e38 if state.step == 1 else 0)

    weights = []
    for _ in loop.train(state, loss_fn, batches):
        weights.append(torch.cat([p.detach().flatten() for p in state.model.parameters()]))
    assert [torch.equal(a, b) for a, b in itertools.pairwise(weights)] == [True, False] and weights[-1].isfinite().all()


def test_in_float16_a_step_that_overflows_is_left_out_and_the_scale_comes_back_from_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(machine_device, "_short_format", lambda kind: "float16")
    optim, weights = Optim(batch_size=4, steps=6, precision="bfloat16", grad_clip=1.0), []

    def loss_fn(model, batch, generator):
        return denoise(model, batch, generator) * (1e38 if state.step == 2 else 1)  # its scaled gradient is infinite

    state = new(optim)
    for _ in loop.train(state, loss_fn, batches):
        weights.append(torch.cat([p.detach().flatten() for p in state.model.parameters()]))
        if state.step == 4:
            state.save(tmp_path)
    assert [torch.equal(a, b) for a, b in itertools.pairwise(weights)] == [False, True, False, False, False]
    assert state.scaler.get_scale() == 65536 / 2
    again = new(optim)
    again.resume(tmp_path)
    assert again.scaler.get_scale() == 65536 / 2
    run(again)
    assert torch.equal(torch.cat([p.detach().flatten() for p in again.model.parameters()]), weights[-1])


@pytest.mark.parametrize(
    ("device", "precision", "format"),
    [
        ("cpu", "bfloat16", torch.contiguous_format),
        ("cuda", "bfloat16", torch.channels_last),
        ("cuda", "float32", torch.contiguous_format),
    ],
)
def test_the_memory_layout_is_the_one_that_is_fast_there(device, precision, format, monkeypatch):
    monkeypatch.setattr(machine_device, "_short_format", lambda kind: "bfloat16")
    assert loop.layout(Optim(precision=precision), device) == format


def test_evaluating_between_steps_does_not_leave_the_network_in_evaluation_mode():
    state, modes = new(Optim(batch_size=4, steps=3)), []

    def loss_fn(model, batch, generator):
        modes.append(model.training)
        return denoise(model, batch, generator)

    for _ in loop.train(state, loss_fn, batches):
        state.model.eval()
    assert modes == [True] * 3


def test_the_sampled_network_is_the_average_once_it_is_old_enough():
    state = new(Optim(batch_size=4, steps=6, ema_decay=0.9, ema_warmup=5))
    run(state, 4)
    with pytest.raises(errors.TrainingError, match="4 updates old"):
        state.sampler_model()
    run(state)
    assert state.sampler_model() is state.ema.module
    plain = new(Optim(batch_size=4, steps=2))
    assert plain.sampler_model() is plain.model


def stand_in(function, generators):
    """A recorder for the CPU: recording computes nothing that stays, each replay writes into the one output."""
    kept = [generator.get_state() for generator in generators]
    out = function()
    for generator, state in zip(generators, kept, strict=True):
        generator.set_state(state)

    def replay():
        out.copy_(function())

    return out, replay


@pytest.mark.parametrize("update_every", [1, 2])
@pytest.mark.parametrize("decay", ["constant", "cosine"])
def test_kernels_launched_together_give_the_same_bits(decay, update_every, monkeypatch):
    """The path of a GPU, with a stand-in for its graphs. An update is recorded only where its rate stays the same."""
    optim = Optim(batch_size=4, steps=18, decay=decay, ema_decay=0.9, ema_warmup=1, ema_every=2)
    plain, together = new(optim), new(optim)
    plain.update_every = together.update_every = update_every
    expected, asked = run(plain), []
    monkeypatch.setenv("DIPDDPM_GRAPHS", "1")

    def recorder(function, generators):
        asked.append(list(generators))
        return (None, function) if not generators else stand_in(function, generators)

    monkeypatch.setitem(launched.RECORDERS, "cpu", recorder)
    losses = [loss.item() for loss in loop.train(together, denoise, batches, steady=True)]
    assert losses == expected
    assert all(torch.equal(a, b) for a, b in zip(plain.model.parameters(), together.model.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(plain.ema.module.parameters(), together.ema.module.parameters(), strict=True))
    assert asked == ([[together.generator], []] if decay == "constant" else [[together.generator]])


def test_an_update_is_not_recorded_where_what_writes_its_gradients_was_not(monkeypatch):
    """Else it would read the memory that the gradients had when it was recorded."""
    optim = Optim(batch_size=4, steps=9)
    plain, together = new(optim), new(optim)
    expected, asked = run(plain), []
    monkeypatch.setenv("DIPDDPM_GRAPHS", "1")

    def recorder(function, generators):
        asked.append(bool(generators))
        raise RuntimeError("out of memory")

    monkeypatch.setitem(launched.RECORDERS, "cpu", recorder)
    assert [loss.item() for loss in loop.train(together, denoise, batches, steady=True)] == expected and asked == [True]


@pytest.mark.slow
def test_a_network_is_compiled_if_asked_for_and_learns_the_same(monkeypatch):
    optim, asked, compiler = Optim(batch_size=4, steps=5), [], torch.compile
    plain, compiled = new(optim), new(optim)
    expected = run(plain)

    def without_a_c_compiler(model, **how):
        asked.append(how)
        return compiler(model, backend="aot_eager", **how)

    monkeypatch.setattr(torch, "compile", without_a_c_compiler)
    assert run(new(optim)) == expected and asked == []
    monkeypatch.setenv("DIPDDPM_COMPILE", "1")
    assert run(compiled) == pytest.approx(expected, rel=1e-6) and asked == [{"dynamic": False}]


def test_only_steps_that_are_all_alike_are_recorded(monkeypatch):
    monkeypatch.setenv("DIPDDPM_GRAPHS", "1")
    monkeypatch.setitem(launched.RECORDERS, "cpu", lambda *_: pytest.fail("recorded"))
    assert len(run(new(Optim(batch_size=4, steps=6)))) == 6


def test_where_nothing_can_be_recorded_it_goes_on_as_before_and_says_so(monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("no graphs here\nand more")

    optim = Optim(batch_size=4, steps=6, decay="cosine")
    expected = run(new(optim))
    monkeypatch.setitem(launched.RECORDERS, "cpu", broken)
    monkeypatch.setenv("DIPDDPM_GRAPHS", "1")
    assert [loss.item() for loss in loop.train(new(optim), denoise, batches, steady=True)] == expected
    assert capsys.readouterr().err == "no CUDA graph, going on without: RuntimeError: no graphs here\n"


@pytest.mark.parametrize(("device", "renewed"), [("cuda", ["a copy"]), ("cpu", [])])
def test_after_a_recording_that_failed_a_gpus_generator_goes_on_from_a_copy_of_its_state(monkeypatch, device, renewed):
    seen = []
    pretended = SimpleNamespace(device=torch.device(device), clone_state=lambda: "a copy", graphsafe_set_state=seen.append)
    monkeypatch.setitem(launched.RECORDERS, "cpu", lambda *_: (_ for _ in ()).throw(RuntimeError("no graphs here")))
    monkeypatch.setenv("DIPDDPM_GRAPHS", "1")
    double = launched.Together(lambda x: 2 * x, CPU, [pretended])
    for k in range(6):
        assert double(torch.ones(1)).item() == 2 and seen == (renewed if k >= launched.WARM else [])


def test_a_recorded_function_is_recorded_once_for_each_shape(monkeypatch):
    calls = []
    monkeypatch.setitem(launched.RECORDERS, "cpu", lambda *given: calls.append(1) or stand_in(*given))
    monkeypatch.setenv("DIPDDPM_GRAPHS", "1")
    double = launched.Together(lambda x: 2 * x, CPU)
    for k in range(6):
        for n in (2, 3):
            x = torch.rand(n)
            assert torch.equal(double(x), 2 * x)
        assert len(calls) == (2 if k >= launched.WARM else 0)  # after so many calls of each shape


@pytest.mark.parametrize(
    ("device", "said", "together"),
    [("cuda", "", True), ("cuda", "0", False), ("cpu", "1", False), ("mps", "", False)],
)
def test_kernels_are_launched_together_on_cuda_unless_the_environment_says_otherwise(device, said, together, monkeypatch):
    monkeypatch.setenv("DIPDDPM_GRAPHS", said)
    assert (launched.Together(net(), torch.device(device)).recorder is not None) == together


# --- the order of the data ---


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 30), size=st.integers(1, 40), cut=st.integers(0, 20), seed=st.integers(0, 5))
def test_every_item_once_an_epoch_and_resumable_anywhere(n, size, cut, seed):
    order = loop.Order(n, seed, CPU)
    drawn = [order.next(size) for _ in range(20)]
    assert all(len(indices) == size for indices in drawn)
    flat = torch.cat(drawn)
    for epoch in flat[: len(flat) // n * n].reshape(-1, n):
        assert sorted(epoch.tolist()) == list(range(n))
    again = loop.Order(n, seed, CPU)
    again.position = cut * size
    assert torch.equal(torch.cat([again.next(size) for _ in range(20 - cut)] or [flat[:0]]), flat[cut * size :])


def test_epochs_and_seeds_differ():
    order = loop.Order(50, 0, CPU)
    assert not torch.equal(order.next(50), order.next(50))
    assert not torch.equal(loop.Order(50, 0, CPU).next(50), loop.Order(50, 1, CPU).next(50))


# --- learning rates ---


@given(
    steps=st.integers(1, 400),
    warmup=st.integers(0, 100),
    decay=st.sampled_from(["constant", "cosine", "linear"]),
    k=st.integers(0, 399),
)
def test_learning_rates_stay_within_bounds_and_only_fall_after_warm_up(steps, warmup, decay, k):
    optim = Optim(lr=0.2, steps=steps, warmup_steps=warmup, decay=decay)
    k = min(k, steps - 1)
    rate, following = loop.lr_at(optim, k), loop.lr_at(optim, k + 1)
    assert 0 < rate <= 0.2
    assert following >= rate if k + 1 < warmup else following <= rate or k + 1 == warmup
    if k == warmup:
        assert rate == 0.2
    if decay != "constant" and steps > warmup:
        assert loop.lr_at(optim, steps) == pytest.approx(0, abs=1e-15)


# --- when things go wrong ---


class Bomb:
    """A loss that is not finite at one step: at once, or only in its gradient (sqrt at zero)."""

    def __init__(self, at: int, kind: str) -> None:
        self.at, self.kind, self.calls = at, kind, 0

    def __call__(self, model, batch, generator):
        self.calls += 1
        loss = denoise(model, batch, generator)
        if self.calls != self.at:
            return loss
        return loss + (loss * 0).sqrt() if self.kind == "gradient" else loss * float(self.kind)


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_a_loss_that_is_not_finite_stops_before_it_does_harm(tmp_path, kind):
    state = new(Optim(batch_size=4, steps=10))
    with pytest.raises(errors.TrainingError, match="loss is not finite at step 8; what was saved earlier is kept;") as caught:
        for _ in loop.train(state, Bomb(8, kind), batches):
            if state.step % 3 == 0:
                state.save(tmp_path)
    assert "\n" not in str(caught.value)
    assert state.step == 7 and all(torch.isfinite(p).all() for p in state.model.parameters())
    assert checkpoint.load(tmp_path)[0]["step"] == 6


def test_a_gradient_that_is_not_finite_is_found_at_once_with_clipping_and_never_saved_without(tmp_path):
    with pytest.raises(errors.TrainingError, match="gradient is not finite at step 4"):
        run(new(Optim(batch_size=4, steps=10, grad_clip=1.0)), loss_fn=Bomb(4, "gradient"))
    state = new(Optim(batch_size=4, steps=10))
    with pytest.raises(errors.TrainingError, match="not finite at step 4; what was saved earlier is kept"):
        for _ in loop.train(state, Bomb(4, "gradient"), batches):
            state.save(tmp_path)
    assert checkpoint.load(tmp_path)[0]["step"] == 3


@pytest.mark.parametrize("bad", [1, 3, 4, 5, 9, 10])
def test_on_a_gpu_a_loss_that_is_not_finite_is_found_within_so_many_steps(monkeypatch, bad):
    """With a stand-in for the GPU: a device of which the loop knows only that it is no CPU."""
    monkeypatch.setattr(loop, "CHECK_EVERY", 4)
    monkeypatch.setattr(loop, "clock", lambda device: lambda: 0.0)
    monkeypatch.setattr(loop, "autocast", lambda device, precision: contextlib.nullcontext())
    optim, fine = Optim(batch_size=4, steps=10), new(Optim(batch_size=4, steps=10))
    fine.device = SimpleNamespace(type="some GPU")
    assert run(fine) == run(new(optim))
    state = new(optim)
    state.device = fine.device
    with pytest.raises(errors.TrainingError, match=f"sum of the losses is not finite at step {min(10, 4 * -(-bad // 4))};"):
        run(state, loss_fn=Bomb(bad, "nan"))


def test_the_budget_stops_between_steps_with_a_state_that_can_be_saved(tmp_path):
    optim = Optim(batch_size=4, steps=9, ema_decay=0.9)
    losses, stop = run(new(optim)), tmp_path / "stop"
    budget = machine_budget.Budget(stop=stop)
    state, seen = new(optim), []
    with pytest.raises(errors.OutOfTime):
        for loss in loop.train(state, denoise, batches, budget):
            seen.append(loss.item())
            if state.step == 4:
                stop.touch()
    state.save(tmp_path / "work")
    resumed = new(optim)
    resumed.resume(tmp_path / "work")
    assert seen + run(resumed) == losses


def test_a_checkpoint_of_another_network_or_of_a_version_that_wrote_its_tree_otherwise_is_refused(tmp_path):
    optim = Optim(batch_size=4, steps=4)
    state = new(optim)
    run(state, 2)
    state.save(tmp_path)
    with pytest.raises(errors.StoreError, match="does not fit this network") as caught:
        loop.new_state(nn.Linear(2, 2), optim, 22, seed=3).resume(tmp_path)
    assert "\n" not in str(caught.value)
    older = {"dict": [["model", {"dict": [["0.weight", torch.zeros(2)]]}]]}
    checkpoint.save(tmp_path, {"step": 2, "seconds": 1.0, "seed": 3, "device": "cpu", "n": 22, "position": 8, "tree": older})
    with pytest.raises(errors.StoreError, match="does not fit this network or version .*; remove .*" + tmp_path.name) as caught:
        new(optim).resume(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_training_that_went_on_elsewhere_says_so_once(tmp_path, monkeypatch):
    optim, notes, stop = Optim(batch_size=4, steps=9), [], tmp_path / "stop"
    for place, until in (("one, 1 thread", 3), ("one, 1 thread", 5), ("one, 2 threads", 7), ("one, 2 threads", None)):
        monkeypatch.setattr(loop.provenance, "machine", lambda device, place=place: place)
        state = new(optim)

        def loss(model, batch, generator, state=state, until=until):
            if state.step + 1 == until:
                stop.touch()
            return denoise(model, batch, generator)

        work = SimpleNamespace(folder=tmp_path / "work", label="made up", budget=machine_budget.Budget(stop=stop))
        with contextlib.suppress(errors.OutOfTime):
            notes = loop.train_resumably(state, loss, batches, work)["notes"]
        stop.unlink(missing_ok=True)
    assert state.step == 9
    assert notes == ["trained by one, 1 thread, from step 5 on by one, 2 threads: its seconds are of both"]


def test_a_checkpoint_of_a_gpu_goes_on_on_a_cpu_with_a_new_stream(tmp_path):
    optim = Optim(batch_size=4, steps=4)
    state = new(optim)
    run(state, 2)
    tree = state.tree() | {"device": "cuda", "generator": torch.zeros(16, dtype=torch.uint8)}
    tree["optimisers"][0]["param_groups"][0]["capturable"] = True
    checkpoint.save(tmp_path, tree)
    again = new(optim)
    again.resume(tmp_path)
    assert not again.optimisers[0].param_groups[0]["capturable"] and len(run(again)) == 2
    again.resume(tmp_path)
    assert torch.equal(again.generator.get_state(), streams.generator(3, "training from step 2").get_state())


def test_waiting_for_a_gpu_is_training_time(monkeypatch):
    now, state = [5.0], new(Optim(batch_size=4, steps=1))
    monkeypatch.setattr(states, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(states, "settle", lambda device: now.append(now.pop() + 3))
    assert state.synchronise() == 0
    state.device = SimpleNamespace(type="some GPU")
    assert (state.synchronise(), state.synchronise()) == (3, 6)


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path):
    assert new(Optim()).resume(tmp_path / "none") is None


def test_the_average_moves_every_so_many_steps():
    state = new(Optim(batch_size=4, steps=7, ema_decay=0.5, ema_every=3, ema_warmup=2))
    run(state)
    assert state.ema.age == 2 and state.sampler_model() is state.ema.module


CASES = [  # machine, AVX512-BF16, bfloat16 on the GPU, its capability -> on the CPU, on the GPU
    ("x86_64", True, True, (9, 0), "bfloat16", "bfloat16"),  # an H100
    ("x86_64", False, False, (7, 5), "float32", "float16"),  # a T4
    ("AMD64", False, False, (6, 0), "float32", "float32"),  # a P100
]


@pytest.mark.parametrize(("machine", "avx512", "bfloat16", "capability", "cpu", "cuda"), CASES)
def test_the_format_is_chosen_by_what_the_device_reports(machine, avx512, bfloat16, capability, cpu, cuda, monkeypatch):
    machine_device._short_format.cache_clear()
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16 or including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    found = [machine_device.number_format(device, "bfloat16") for device in ("cpu", "cuda", "mps")]
    machine_device._short_format.cache_clear()
    assert found == [cpu, cuda, "float32"]
    assert machine_device.number_format("cuda", "float32") == "float32"


def test_the_average_is_of_the_weights_after_each_step():
    state = new(Optim(batch_size=4, steps=5, lr=0.01, ema_decay=0.9))
    expected = [p.detach().clone() for p in state.model.parameters()]
    for n, _ in enumerate(loop.train(state, denoise, lambda indices: IMAGES[indices])):
        kept = min(0.9, (1 + n) / (10 + n))
        expected = [kept * a + (1 - kept) * p.detach() for a, p in zip(expected, state.model.parameters(), strict=True)]
    for ours, theirs in zip(state.ema.module.parameters(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["adam", "adamw", "muon"])
def test_optimisers_are_given_what_the_configuration_says(name):
    state = new(Optim(name=name, betas=(0.8, 0.95), weight_decay=0.1))
    groups = [group for each in state.optimisers for group in each.param_groups]
    assert all(group["weight_decay"] == 0.1 and group.get("betas", (0.8, 0.95)) == (0.8, 0.95) for group in groups)
    assert sum("betas" in group for group in groups) == 1


# --- how often a training is saved: as often as a kill may cost, and no more than a share of the time


@pytest.mark.parametrize(("seconds", "at"), [(0.25, [21, 42, 63, 84, 100]), (1.0, [21, 72, 100])])
def test_saving_takes_no_more_than_its_share_of_the_time(seconds, at, tmp_path, monkeypatch):
    """A step takes one second here; a save that takes one second is due after fifty, or after twenty if it is shorter."""
    now, saved = [0.0], []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    state = loop.new_state(nn.Linear(2, 2), Optim(batch_size=2, steps=100), 4, 0, "cpu")

    def save(*_, **__):
        saved.append(state.step)
        now[0] += seconds

    def batch(rows):
        now[0] += 1
        return torch.ones(len(rows), 2)

    monkeypatch.setattr(state, "save", save)
    work = SimpleNamespace(folder=tmp_path, label="made up", budget=machine_budget.Budget())
    loop.train_resumably(state, lambda model, x, _: model(x).square().mean(), batch, work)
    assert saved == at


def test_what_was_given_when_it_was_recorded_is_left_alone_and_another_type_is_recorded_anew(monkeypatch):
    calls = []
    monkeypatch.setitem(launched.RECORDERS, "cpu", lambda *given: calls.append(1) or stand_in(*given))
    monkeypatch.setenv("DIPDDPM_GRAPHS", "1")
    double = launched.Together(lambda x: 2 * x, torch.device("cpu"))
    given = [torch.full((2,), k) for k in range(6)]
    for x in given:
        double(x)
    assert [x.tolist() for x in given] == [[k, k] for k in range(6)] and len(calls) == 1
    x = torch.tensor([0.25, 0.5], dtype=torch.float64)
    assert double(x).dtype == torch.float64 and torch.equal(double(x), 2 * x)
