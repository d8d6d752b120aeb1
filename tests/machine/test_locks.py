"""One process at a time, also where there is no flock: real processes, a real kill, and an owner on another host."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from dipddpm_utils.machine import files, locks
from dipddpm_utils.machine.errors import OutOfTime, StoreError

HOLDER = """
import errno, fcntl, os, sys, time
from pathlib import Path
from dipddpm_utils.machine import locks
code, path, gate = sys.argv[1:]
def refuse(*_): raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
if code != "flock": fcntl.flock = refuse
with locks.locked(Path(path), "that holds it", lambda: None):
    print("held", flush=True)
    while not os.path.exists(gate): time.sleep(0.02)
print("free", flush=True)
"""


def holder(code, path, gate):
    command = [sys.executable, "-c", HOLDER, code, str(path), str(gate)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


@pytest.fixture
def no_flock(monkeypatch):
    monkeypatch.setattr(locks, "_has_flock", lambda path: False)


def refusing(code):
    def call(*_):
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", ["flock", "ENOTSUP", "ENOLCK"])
def test_two_processes_take_turns_and_a_killed_one_is_taken_over(tmp_path, code):
    first = holder(code, tmp_path / ".lock", tmp_path / "never")
    assert first.stdout.readline() == "held\n"
    second = holder(code, tmp_path / ".lock", tmp_path / "gate")
    assert second.stderr.readline() == "waiting for another process that holds it\n"
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert second.stdout.readline() == "held\n"
    assert (tmp_path / ".lock.owner").exists() is (code != "flock")
    (tmp_path / "gate").touch()
    assert second.communicate() == ("free\n", "") and not (tmp_path / ".lock.owner").exists()


@pytest.mark.parametrize("code", sorted(files.REFUSED))
def test_whatever_a_file_system_without_flock_answers_the_lock_is_a_file_that_names_its_owner(tmp_path, monkeypatch, code):
    monkeypatch.setattr("fcntl.flock", refusing(code))
    with locks.locked(tmp_path / ".lock", "", lambda: None):
        assert (tmp_path / ".lock.owner").read_text().split()[0] == str(os.getpid())


def test_a_broken_disk_is_no_reason_for_the_other_lock(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", refusing(errno.EIO))
    with (
        pytest.raises(StoreError, match=r"cannot use .*\.lock: Input/output error"),
        locks.locked(tmp_path / ".lock", "", list),
    ):
        pass


def test_an_owner_of_another_host_is_waited_for_as_long_as_it_lives(tmp_path, no_flock, monkeypatch):
    monkeypatch.setattr(locks, "STALE", 1.8)
    owner = tmp_path / ".lock.owner"
    owner.write_text("1\na-colab-machine\n")
    os.utime(owner, (2e9, 2e9))  # its clock is years ahead; what counts is whether it changes
    done, lives = threading.Event(), locks._alive(owner)
    lives.__enter__()

    def wait():
        with locks.locked(tmp_path / ".lock", "", lambda: None):
            done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    assert not done.wait(4)
    lives.__exit__(None, None, None)  # a disconnect: nobody removes the file
    assert done.wait(8)
    thread.join()
    assert not owner.exists()


def test_of_several_that_take_over_a_lock_one_holds_it(tmp_path, no_flock, monkeypatch):
    monkeypatch.setattr(locks, "STALE", 0.4)
    (tmp_path / ".lock.owner").write_text("1\na-colab-machine\n")
    holding, most, stat, together = [], [], Path.stat, threading.Barrier(4, timeout=1.5)

    def slow(path, **options):  # all look at the file at once, and remove it, or not, one after the other
        found = stat(path, **options)
        if path.name == ".lock.owner":
            with suppress(threading.BrokenBarrierError):
                together.wait()
            time.sleep(0.2 * int(threading.current_thread().name))
        return found

    def hold():
        with locks.locked(tmp_path / ".lock", "", lambda: None):
            holding.append(1)
            most.append(len(holding))
            time.sleep(0.5)
            holding.pop()

    monkeypatch.setattr(Path, "stat", slow)
    threads = [threading.Thread(target=hold, name=str(i)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1] and not list(tmp_path.glob("*.owner*"))


def test_who_waits_can_be_stopped(tmp_path, no_flock):
    (tmp_path / ".lock.owner").write_text(f"{os.getpid()}\nanother-host\n")
    ends = time.monotonic() + 1

    def check():
        if time.monotonic() > ends:
            raise OutOfTime("stop")

    with pytest.raises(OutOfTime), locks.locked(tmp_path / ".lock", "", check):
        pass
    assert (tmp_path / ".lock.owner").exists()


def test_the_lock_is_free_after_an_error(tmp_path, no_flock):
    with pytest.raises(ValueError), locks.locked(tmp_path / ".lock", "", lambda: None):
        raise ValueError
    assert not (tmp_path / ".lock.owner").exists()


def test_a_folder_that_cannot_be_written_is_one_line(read_only_disk):
    with pytest.raises(StoreError, match="read-only"), locks.locked(read_only_disk / ".lock", "", lambda: None):
        pass


def test_where_the_system_keeps_locks_a_silent_owner_is_waited_for(tmp_path, monkeypatch):
    """Its file is not written to while the lock is held: it must not be taken for stale, and removed."""
    monkeypatch.setattr(locks, "STALE", 0.2)
    ends = time.monotonic() + 1.5

    def check():
        if time.monotonic() > ends:
            raise OutOfTime("stop")

    with locks.locked(tmp_path / ".lock", "", list), pytest.raises(OutOfTime), locks.locked(tmp_path / ".lock", "", check):
        pass


def test_who_holds_a_lock_file_shows_signs_of_life(tmp_path, no_flock, monkeypatch):
    monkeypatch.setattr(locks, "STALE", 0.45)
    owner = tmp_path / ".lock.owner"
    with locks.locked(tmp_path / ".lock", "", list):
        os.utime(owner, (1e9, 1e9))
        time.sleep(0.3)
        assert owner.stat().st_mtime > 1e9
