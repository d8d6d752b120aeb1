"""Device choice, named random streams, provenance, the time budget and progress lines."""

import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dipddpm_utils import config
from dipddpm_utils.machine import budget as machine_budget
from dipddpm_utils.machine import device, errors, progress, provenance, streams

# --- clock ---


def test_one_thread_is_timed_by_the_processor_time_it_gets_and_everything_else_by_the_wall():
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        now, wall = device.clock("cpu"), device.clock("cuda")
        began, began_wall = now(), wall()
        time.sleep(0.3)  # costs no processor time
        assert now() - began < 0.1 < 0.3 <= wall() - began_wall
        assert device.clock_name("cpu") == "processor" and device.clock_name("cuda") == "wall"
        torch.set_num_threads(2)
        assert device.clock_name("cpu") == "wall"
    finally:
        torch.set_num_threads(before)


def test_a_stopwatch_waits_for_what_is_queued_before_each_reading(monkeypatch):
    ticks = [5.0]

    def settle(where):
        ticks[0] += {"cuda": 2.0}[where]

    monkeypatch.setattr(device, "settle", settle)
    monkeypatch.setattr(device, "clock", lambda where: lambda: ticks[0])
    since = device.stopwatch("cuda")
    assert [since(), since()] == [2.0, 4.0]


# --- device ---


def test_auto_takes_the_gpu_exactly_when_torch_can_use_one(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.pick_device("auto").type == "cpu" == device.pick_device("cpu").type
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.pick_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    current = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    assert device.pick_device("cuda").index is None and not current
    assert device.pick_device("cuda:1").index == 1 and not current  # who only asks takes none of its memory
    device.pick_device("cuda:1", to_compute=True)
    assert [one.index for one in current] == [1]  # graphs record that one alone
    with pytest.raises(errors.DeviceError, match=r"cuda:2 was asked for, but torch sees 2 GPU"):
        device.pick_device("cuda:2")


def test_a_device_that_is_not_there_is_refused_in_one_line(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", lambda: (_ for _ in ()).throw(RuntimeError("Found no NVIDIA driver.\nMore")))
    with pytest.raises(errors.DeviceError, match="--device cpu") as caught:
        device.pick_device("cuda")
    assert "\n" not in str(caught.value)
    for name in ("gpu", "cuda:00", "cuda:256", "cuda:99999999999", "cuda:\u0663"):  # torch would take cuda:256 for cuda:0
        with pytest.raises(errors.UsageError, match="expected auto, cpu, cuda, cuda:N or mps"):
            device.pick_device(name)


def _machine(monkeypatch, tmp_path: Path, *, proc: str | None = None, smi: str | None = None) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device, "PROC_NVIDIA", tmp_path / "gpus")
    if proc:
        (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
        (tmp_path / "gpus" / "0000:01:00.0" / "information").write_text(f"Model: \t\t {proc}\nIRQ:   \t\t 1\n")
    (tmp_path / "bin").mkdir()
    if smi:
        (tmp_path / "bin" / "nvidia-smi").write_text(f"#!/bin/sh\n{smi}\n")
        (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        ({"proc": "NVIDIA H200"}, "NVIDIA H200"),
        ({"smi": "echo 'GPU 0: Tesla T4 (UUID: GPU-1234)'"}, "Tesla T4"),
        ({"smi": "echo 'NVIDIA-SMI has failed'; exit 9"}, None),
        ({}, None),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_said_loudly(monkeypatch, tmp_path, machine, name):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    _machine(monkeypatch, tmp_path, **machine)
    text = device.gpu_warning()
    if name is None:
        assert text is None
    else:
        assert name in text and "built without CUDA" in text and "\n" not in text
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
        assert device.gpu_warning() is None
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        assert device.gpu_warning() is None


def test_a_torch_without_mkldnn_as_on_macos_computes_in_float32(monkeypatch):
    import torch

    monkeypatch.setattr(device.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    device._short_format.cache_clear()
    assert device.number_format("cpu", "bfloat16") == "float32"
    device._short_format.cache_clear()


# --- random streams ---


def test_streams_depend_on_seed_and_purpose_only_and_leave_global_state_alone():
    import torch

    before = torch.get_rng_state()
    draws = {(s, p): torch.randn(4, generator=streams.generator(s, p)) for s in (0, 1) for p in ("noise", "order")}
    assert torch.equal(draws[0, "noise"], torch.randn(4, generator=streams.generator(0, "noise")))
    assert len({tuple(d.tolist()) for d in draws.values()}) == 4
    assert torch.equal(before, torch.get_rng_state())
    assert streams.numpy_rng(3, "x").random() == streams.numpy_rng(3, "x").random() != streams.numpy_rng(3, "y").random()


def test_derived_seed_is_the_published_sha256_prefix():
    # sha256 of the text "0:noise", by coreutils: printf 0:noise | sha256sum
    done = subprocess.run(["sha256sum"], input=b"0:noise", capture_output=True, check=True)
    assert streams.derived_seed(0, "noise") == int(done.stdout[:16], 16) // 2


# --- provenance ---


def test_provenance_names_what_is_needed_to_judge_a_record():
    import json

    import torch

    run = config.Floor(data=config.Data(name="digits5k"), seed=7)
    facts = provenance.finish(provenance.provenance(run, "cpu"), run)
    assert facts["packages"]["torch"] == torch.__version__.split("+")[0] or facts["packages"]["torch"] == torch.__version__
    assert (facts["seed"], facts["kind"], facts["hash"]) == (7, "floor", config.run_hash(run))
    assert facts["threads"] == torch.get_num_threads() and facts["device"] == "cpu" and facts["cpu"]
    assert facts["cpu_instructions"] == torch.backends.cpu.get_cpu_capability()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", facts["start"]) and facts["start"] <= facts["end"]
    assert len(facts["code"]["sha256"]) == 64 and facts["code"]["version"]
    json.dumps(facts, allow_nan=False)
    assert str(Path.home()) not in json.dumps(facts)
    instructions = facts["cpu_instructions"]
    assert provenance.hardware({**facts, "threads": 2}) == f"{facts['cpu']} ({instructions}), 2 threads"
    assert provenance.hardware({**facts, "threads": 1, "cpu_instructions": None}) == f"{facts['cpu']}, 1 thread"  # early ones
    gpu = {**facts, "device": "cuda", "device_name": "NVIDIA T4", "threads": 1}
    assert provenance.hardware(gpu) == "NVIDIA T4, 1 thread"


def test_the_code_version_follows_git(tmp_path, monkeypatch):
    package = tmp_path / "dipddpm_utils"
    package.mkdir()
    (package / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(provenance, "PACKAGE", package)

    def version():
        provenance.code_version.cache_clear()
        return provenance.code_version()

    def git(*words):
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", "-C", tmp_path, *who, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        assert version()["commit"] is None and version()["dirty"] is None
        git("init", "-q")
        git("add", ".")
        git("commit", "-q", "-m", "one")
        clean = version()
        assert clean["commit"] == git("rev-parse", "HEAD") and clean["dirty"] is False
        (tmp_path / "results.txt").write_text("records beside the package do not make the code dirty")
        assert version()["dirty"] is False
        (package / "a.py").write_text("x = 2\n")
        assert version()["dirty"] is True and version()["sha256"] != clean["sha256"]
    finally:
        provenance.code_version.cache_clear()


# --- budget ---


def test_a_budget_without_an_end_never_ends(monkeypatch):
    monkeypatch.delenv("DIPDDPM_DEADLINE", raising=False)
    monkeypatch.delenv("DIPDDPM_STOP", raising=False)
    budget = machine_budget.Budget.from_env()
    budget.check()


def test_the_deadline_ends_it(monkeypatch):
    monkeypatch.setenv("DIPDDPM_DEADLINE", "1000.5")
    clock = [1000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    budget = machine_budget.Budget.from_env()
    budget.check()
    clock[0] = 1000.5
    with pytest.raises(errors.OutOfTime, match="time budget ran out; everything is saved"):
        budget.check()
    clock[0] = 0.0
    assert budget.expired(), "once over it stays over"


def test_the_stop_file_ends_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DIPDDPM_STOP", str(tmp_path / "stop"))
    monkeypatch.delenv("DIPDDPM_DEADLINE", raising=False)
    budget = machine_budget.Budget.from_env()
    budget.check()
    (tmp_path / "stop").touch()
    with pytest.raises(errors.OutOfTime, match="a stop was asked for"):
        budget.check()


def test_a_senseless_deadline_is_refused(monkeypatch):
    monkeypatch.setenv("DIPDDPM_DEADLINE", "soon")
    with pytest.raises(errors.UsageError, match="DIPDDPM_DEADLINE is 'soon', expected unix seconds"):
        machine_budget.Budget.from_env()


# --- progress ---


@settings(max_examples=60, deadline=None)
@given(total=st.integers(0, 3000), initial=st.integers(0, 3000), by=st.integers(1, 50))
def test_progress_is_at_most_twenty_lines_and_tells_the_end(total, initial, by):
    import contextlib
    import io

    initial = min(initial, total)
    with contextlib.redirect_stderr(io.StringIO()) as out, progress.Progress(total, "ddpm-s0", initial) as lines:
        done = initial
        while done < total:
            lines.update(n := min(by, total - done), loss=0.123456)
            done += n
    shown = out.getvalue().splitlines()
    assert len(shown) <= 20
    if initial < total:
        assert shown[-1].startswith(f"ddpm-s0: {total}/{total} ") and shown[-1].endswith("loss 0.1235")


def test_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch, capsys):
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        with progress.Progress(3, "x") as bar:
            for _ in range(3):
                time.sleep(0.001)
                bar.update(loss=0.5)
        said = capsys.readouterr()
        assert said.out == "" and ("x: 3/3" in said.err) is not terminal
        assert ("|" in said.err) is terminal


# --- memory ---

FAULTS = """
import resource, sys, torch
from dipddpm_utils.machine import device
if sys.argv[1] == "keep": device.keep_memory()
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): torch.zeros(2**23)  # 32 MiB: 8192 pages; the allocator settles
before = pages()
for _ in range(10): torch.zeros(2**23)
print(pages() - before)
"""


@pytest.mark.skipif(platform.libc_ver() < ("glibc", "2.36"), reason="a C library that does less, or another one")
@pytest.mark.slow
def test_what_a_tensor_frees_is_kept_for_the_next_one():
    """Red without it: the kernel is asked for all ten tensors anew, page by page."""
    asked = {
        way: int(subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True, text=True, check=True).stdout)
        for way in ("keep", "leave")
    }
    assert asked["keep"] < 100 < 10 * 16 <= asked["leave"]  # at least: where the kernel gives pages of 2 MiB unasked
