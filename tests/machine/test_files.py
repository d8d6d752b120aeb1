"""Files are written whole or not at all, also on a disk that is full and in a folder that is read-only."""

import errno
import io
import os
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import StoreError


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_a_write_replaces_the_whole_file(tmp_path_factory, old, new):
    path = tmp_path_factory.mktemp("w") / "deep" / "file.bin"
    files.write_bytes(path, old)
    assert files.write_bytes(path, new).read_bytes() == new
    assert os.listdir(path.parent) == ["file.bin"]  # no temporary name is left


def test_a_failed_rename_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = files.write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(StoreError, match="the disk is full: free some space"):
        files.write_text(path, "new")
    assert path.read_text() == "old\n" and os.listdir(tmp_path) == ["a.txt"]


def test_ctrl_c_in_the_middle_leaves_the_old_file(tmp_path, monkeypatch):
    path = files.write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        files.write_text(path, "new")
    assert path.read_text() == "old\n" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", sorted(files.REFUSED))
def test_a_file_system_that_refuses_modes_and_flushes_can_be_written(tmp_path, monkeypatch, code):
    """Google Drive, WSL and SMB have no fchmod, and no fsync of a folder; some have none of a file either."""

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    for name in ("fchmod", "chmod", "fsync", "link"):
        monkeypatch.setattr(os, name, refuse)
    assert files.write_text(tmp_path / "a.txt", "x").read_text() == "x\n" and os.listdir(tmp_path) == ["a.txt"]


def test_a_folder_that_cannot_be_opened_can_be_written(tmp_path, monkeypatch):
    real = os.open
    refuse = PermissionError(errno.EACCES, "Permission denied")

    def no_folders(path, flags, *rest, **more):
        if os.path.isdir(path):
            raise refuse
        return real(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", no_folders)
    assert files.write_text(tmp_path / "a.txt", "x").exists()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_flush_that_fails_is_an_error(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(code, os.strerror(code))))
    with pytest.raises(StoreError):
        files.write_text(tmp_path / "a.txt", "x")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_umask_is_respected(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        assert files.write_text(tmp_path / "a.txt", "x").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


def test_a_full_disk_is_one_line_and_keeps_the_old_file(small_disk):
    path = files.write_bytes(small_disk / "a.bin", b"old")
    with pytest.raises(StoreError, match="the disk is full") as caught:
        files.write_bytes(path, os.urandom(4_000_000))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old" and os.listdir(small_disk) == ["a.bin"]


def test_a_read_only_folder_is_one_line(read_only_disk):
    with pytest.raises(StoreError, match="Read-only file system: choose a folder that can be written with --results DIR"):
        files.write_text(read_only_disk / "a.txt", "x")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_what_is_advised_is_right_for_the_folder(tmp_path, monkeypatch, code):
    """--results moves results alone: a command that fills the cache or changes the checkout has no such option."""
    monkeypatch.setenv("DIPDDPM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(code, os.strerror(code))))
    monkeypatch.setattr(files, "CHECKOUT", tmp_path / "checkout")
    for place, advice in {
        "cache/mnist/a": "set DIPDDPM_CACHE to a folder that can be written",
        "checkout/README.md": "make this checkout writable, or take a copy of it that is",
        "checkout/results/quick/a": "with --results DIR",
        "elsewhere/quick/a": "with --results DIR",
    }.items():
        with pytest.raises(StoreError, match=f"{place}: .*{advice}$"):
            files.write_text(tmp_path / place, "x")


def test_a_file_that_cannot_be_read_is_no_reason_for_another_folder(tmp_path, monkeypatch):
    path = files.write_json(tmp_path / "a.json", {})
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(
        type(path), "read_text", lambda *_, **__: (_ for _ in ()).throw(PermissionError(errno.EACCES, "Permission denied"))
    )
    with pytest.raises(StoreError, match="a.json: Permission denied: make it readable$"):
        files.read_json(path)


def test_a_folder_where_a_file_is_expected_is_said_with_what_to_do(tmp_path):
    for use in (lambda: files.read_json(tmp_path), lambda: files.write_text(tmp_path, "a")):
        with pytest.raises(StoreError, match=f"{tmp_path}: a folder, expected a file: move it away, or name another file"):
            use()


def test_damaged_arrays_are_as_if_they_were_not_there(tmp_path):
    whole, path = files.npz_bytes({"a": np.arange(5)}), tmp_path / "a.npz"
    assert files.arrays(path) is None
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        found = files.arrays(path)
        assert found is None or (list(found) == ["a"] and np.array_equal(found["a"], np.arange(5))), at
    for end in (0, len(whole) // 2):
        path.write_bytes(whole[:end])
        assert files.arrays(path) is None


def test_json_holds_no_nan_and_bad_json_says_where(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    for damaged in (b"{", b"<<<<<<< HEAD\n{}", b"\xff\xfe{", b"[" * 100_000, b""):
        (tmp_path / "b.json").write_bytes(damaged)
        with pytest.raises(StoreError, match="b.json is not valid JSON") as caught:
            files.read_json(tmp_path / "b.json")
        assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="No such file"):
        files.read_json(tmp_path / "none.json")


def test_arrays_need_no_pickle_and_give_the_same_bytes():
    arrays = {"a": np.arange(5), "b": np.ones((2, 3), np.float32)}
    data = files.npz_bytes(arrays)
    assert data == files.npz_bytes(arrays)
    back = np.load(io.BytesIO(data), allow_pickle=False)
    assert all((back[name] == value).all() for name, value in arrays.items())
    with pytest.raises(TypeError, match="'c' holds Python objects"):
        files.npz_bytes({"c": np.array([{}])})


def test_sha256_of_bytes_that_were_written(tmp_path):
    assert files.sha256_bytes(files.write_bytes(tmp_path / "x", b"abc").read_bytes()) == files.sha256_bytes(b"abc")
    assert files.sha256_bytes(b"abc").startswith("ba7816bf")  # FIPS 180-2, appendix B.1


@pytest.mark.parametrize(("value", "said"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)])
def test_offline_is_what_is_set_and_not_zero(monkeypatch, value, said):
    if value is not None:
        monkeypatch.setenv("DIPDDPM_OFFLINE", value)
    assert files.offline() is said


def test_a_cache_folder_may_be_named_from_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DIPDDPM_CACHE", "~/kept")
    assert files.cache_folder() == tmp_path / "kept"


def test_the_bytes_are_on_the_disk_before_the_name_and_then_the_name_is(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace

    def synced(it):
        done.append("folder" if stat.S_ISDIR(os.fstat(it).st_mode) else "file")
        sync(it)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *names: done.append("rename") or replace(*names))
    files.write_text(tmp_path / "a.txt", "x")
    assert done == ["file", "rename", "folder"]
