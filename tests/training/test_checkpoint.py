"""Checkpoints: exact round trips, damage found and survived, full disks, and a real kill -9."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dipddpm_utils.machine import errors
from dipddpm_utils.training import checkpoint

ROOT = Path(checkpoint.__file__).resolve().parents[2]


def tensors(fill: float = 1.0) -> dict[str, torch.Tensor]:
    return {
        "w": torch.full((4, 3), fill),
        "n": torch.tensor(7),
        "half": torch.randn(5).bfloat16(),
        "raw": torch.arange(9).byte(),
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- round trips ---


def test_it_comes_back_bit_for_bit(tmp_path):
    saved, rest = tensors(), {"step": 3, "deep": {"list": [1, 2.5, None, "x"]}}
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path, {**saved, **rest})
    loaded, note = checkpoint.load(tmp_path)
    assert note is None and {name: loaded[name] for name in rest} == rest
    assert loaded.keys() == saved.keys() | rest.keys()
    for name, value in saved.items():
        assert value.dtype == loaded[name].dtype and torch.equal(value, loaded[name])


def test_strided_tensors_are_saved_by_value(tmp_path):
    base = torch.arange(24.0).reshape(1, 2, 3, 4)
    for odd in (base[:, 1:], base[0, 0].T, base.to(memory_format=torch.channels_last)):
        checkpoint.save(tmp_path, {"odd": odd})
        assert torch.equal(checkpoint.load(tmp_path)[0]["odd"], odd)


LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5)
ARRAYS = st.lists(st.floats(-1e3, 1e3, width=32), max_size=4)
TREES = st.recursive(
    LEAVES | ARRAYS.map(lambda v: torch.tensor(v, dtype=torch.float32)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 99) | st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@settings(deadline=None)
@given(TREES)
def test_flatten_and_unflatten_are_inverse(tree):
    assert same(tree, checkpoint.unflatten(*checkpoint.flatten(tree)))


def test_numbers_of_numpy_come_back_as_plain_ones():
    tree = {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.float64(0.1), "e": (1, 2)}
    assert same({"a": 0.5, "b": 3, "c": True, "d": 0.1, "e": [1, 2]}, checkpoint.unflatten(*checkpoint.flatten(tree)))


def test_what_a_checkpoint_cannot_hold_is_named():
    for odd in ({1}, np.ones(2)):
        with pytest.raises(TypeError, match=f"a {type(odd).__name__} is nothing that a checkpoint can hold"):
            checkpoint.flatten({"a": {"b": odd}})
    with pytest.raises(TypeError, match="not tuple"):
        checkpoint.flatten({"a": {(1, 2): 0}})


def test_two_are_kept_and_leftovers_of_a_kill_are_swept(tmp_path):
    (tmp_path / ".checkpoint-00000001.safetensors.x.tmp").write_bytes(b"half")
    (tmp_path / "curve.csv").write_text("mine")
    for step in range(5):
        checkpoint.save(tmp_path, {**tensors(step), "step": step})
    assert names(tmp_path) == ["checkpoint-00000004.safetensors", "checkpoint-00000005.safetensors", "curve.csv"]
    assert checkpoint.load(tmp_path)[0]["step"] == 4


# --- damage ---


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 4
    path.write_bytes(data)


DAMAGES = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "empty": lambda path: os.truncate(path, 0),
    "flipped": flip_a_bit,
}


@pytest.mark.parametrize("how", DAMAGES)
def test_damage_to_the_newest_is_found_and_the_previous_is_used_and_said(tmp_path, how):
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, {**tensors(step), "step": step, "pad": "x" * 99})
    DAMAGES[how](tmp_path / "checkpoint-00000003.safetensors")
    with pytest.warns(UserWarning, match="checkpoint-00000003.* is damaged .*going on from the one before it"):
        loaded, note = checkpoint.load(tmp_path)
    assert "checkpoint-00000002" in note
    assert loaded["step"] == 20 and torch.equal(loaded["w"], tensors(20)["w"])
    checkpoint.save(tmp_path, {**tensors(21), "step": 21})  # and the sound one is not dropped for the sake of the damaged
    flip_a_bit(max(tmp_path.glob("*.safetensors")))
    with pytest.warns(UserWarning):
        assert checkpoint.load(tmp_path)[0]["step"] == 20


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_single_flipped_bit_is_found(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flip")
    checkpoint.save(folder, {**tensors(), "step": 1})
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="no sound checkpoint is left"):
        assert checkpoint.load(folder) is None


def test_a_checkpoint_that_cannot_be_read_now_is_not_called_damaged(tmp_path):
    checkpoint.save(tmp_path, {**tensors(), "step": 1})
    newer = tmp_path / "checkpoint-00000002.safetensors"
    newer.mkdir()  # reading it is refused, as by a disk that is away, also to root
    with pytest.raises(errors.StoreError, match=newer.name):
        checkpoint.load(tmp_path)
    assert newer.exists()


def test_a_state_that_is_not_finite_is_never_written(tmp_path):
    checkpoint.save(tmp_path, {**tensors(), "step": 10})
    before = names(tmp_path)
    for value in (float("nan"), float("inf")):
        with pytest.raises(errors.TrainingError, match="state is not finite at step 12; what was saved earlier is kept"):
            checkpoint.save(tmp_path, {**tensors(value), "step": 12})
    assert names(tmp_path) == before


# --- disks ---


def test_a_full_disk_leaves_the_old_checkpoint_good(mounted):
    disk, old = mounted("a disk", "size=256k"), {"w": torch.full((20_000,), 1.0)}
    checkpoint.save(disk, {**old, "step": 1})
    checkpoint.save(disk, {**old, "step": 2})
    with pytest.raises(errors.StoreError, match="full.*; what was saved earlier is kept") as caught:
        checkpoint.save(disk, {"w": torch.full((40_000,), 3.0), "step": 3})
    assert "\n" not in str(caught.value)
    loaded, note = checkpoint.load(disk)
    assert loaded["step"] == 2 and note is None and torch.equal(loaded["w"], old["w"])
    assert not list(disk.glob(".*")), "no temporary file is left behind"
    checkpoint.save(disk, {"w": torch.zeros(9), "step": 4})  # and there is room for a smaller one
    assert checkpoint.load(disk)[0]["step"] == 4


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(errors.StoreError) as caught:
        checkpoint.save(tmp_path / "file", tensors())
    assert "\n" not in str(caught.value) and "this checkpoint needs" in str(caught.value)


# --- a real kill ---

DRAMA = r"""
import os, random, signal, sys, time
from pathlib import Path
import torch
from dipddpm_utils.machine import streams
from dipddpm_utils.training import checkpoint, loop
from dipddpm_utils.training import state as states
from dipddpm_utils.config import Optim

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(1)
states.layout = lambda optim, device: torch.channels_last
OPTIM = Optim(name="adamw", steps=300, batch_size=5, lr=3e-3, warmup_steps=50, decay="cosine", grad_clip=1.0, ema_decay=0.99)
IMAGES = torch.rand(23, 1, 6, 6, generator=streams.generator(0, "images"))

def new():
    torch.manual_seed(0)
    first, last = torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Conv2d(4, 1, 3, padding=1)
    net = torch.nn.Sequential(first, torch.nn.BatchNorm2d(4), torch.nn.SiLU(), last)
    return loop.new_state(net, OPTIM, len(IMAGES), seed=5)

def loss_fn(model, batch, generator):
    return (model(batch + torch.randn(batch.shape, generator=generator)) - batch).square().mean()

def bits(state):
    return {name: value.clone() for name, value in checkpoint.flatten(state.tree())[0].items()}

def child():
    state, curve = new(), []
    found = state.resume(folder)
    if found is not None:
        curve = found[0]["curve"]
    for loss in loop.train(state, loss_fn, lambda indices: IMAGES[indices]):
        curve.append(loss.item())
        if state.step % 4 == 0 or state.step == OPTIM.steps:
            state.save(folder, extra={"curve": curve})

def start():
    pid = os.fork()  # torch is imported once, for all children
    if pid == 0:
        code = 1
        try:
            child(); code = 0
        except BaseException:
            import traceback; traceback.print_exc()
        finally:
            os._exit(code)
    return pid

def newest():
    return max((p.name for p in folder.glob("checkpoint-*.safetensors")), default="")

moments = random.Random(seed)
for kill in range(5):
    pid, before = start(), newest()
    while newest() == before:  # let it get somewhere, then kill it at a moment of its own
        time.sleep(0.001)
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "it ended by itself"
    time.sleep(moments.uniform(0, 0.04))
    os.kill(pid, signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL, "it was done before the kill"
    print("killed, newest", newest())
assert os.waitpid(start(), 0)[1] == 0
resumed = new()
extra, note = resumed.resume(folder)
assert note is None, note
straight, curve = new(), []
for loss in loop.train(straight, loss_fn, lambda indices: IMAGES[indices]):
    curve.append(loss.item())
assert curve == extra["curve"], "the loss curve differs"
a, b = bits(resumed), bits(straight)
assert a.keys() == b.keys() and len(a) > 25
different = [name for name in a if not torch.equal(a[name], b[name])]
assert not different, different
assert (resumed.step, resumed.images, resumed.order.position) == (300, 1500, 1500)
assert "torch._dynamo" not in sys.modules, "5 s of imports that training does not need"
print("SAME BITS")
"""


@pytest.mark.slow
def test_five_real_kills_at_random_moments_and_the_same_bits(tmp_path):
    (tmp_path / "drama.py").write_text(DRAMA)
    seed = int.from_bytes(os.urandom(2), "big")
    done = subprocess.run(
        [sys.executable, tmp_path / "drama.py", tmp_path / "work", str(seed)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 and "SAME BITS" in done.stdout, f"seed {seed}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.count("killed") == 5
