"""Images of the user's own: every kind of file, every kind of mistake, and a model that is trained on them and judged."""

import gzip
import json
import os
import struct

import numpy as np
import pytest
import torch
from made_images import idx, made_colour_images, put_images
from PIL import Image

from dipddpm_utils import __main__ as command_line
from dipddpm_utils.config import (
    Bank,
    Data,
    Ddpm,
    Dip,
    Evaluate,
    Floor,
    Optim,
    Restore,
    Run,
    Sample,
    Sampler,
    Stopping,
    Unet,
    parse,
    run_hash,
)
from dipddpm_utils.data import own, sets
from dipddpm_utils.judging import classifier, evaluate, spaces
from dipddpm_utils.machine import files
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import DataError, OutOfTime, UsageError
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study import profile as profiles

GREY, COLOUR = np.arange(256, dtype=np.uint8).reshape(16, 16), np.zeros((16, 16, 3), np.uint8)
COLOUR[..., 0] = 204  # a colour that every palette has


@pytest.fixture(autouse=True)
def _apart(monkeypatch, tmp_path):
    monkeypatch.setenv("DIPDDPM_CACHE", str(tmp_path / "cache"))
    own._read.cache_clear()
    profiles.load.cache_clear()
    yield
    profiles.load.cache_clear()


@pytest.fixture
def few(monkeypatch):
    """A data set may be as small as two images."""
    monkeypatch.setattr(own, "LEAST_TRAIN", 1)
    monkeypatch.setattr(own, "LEAST_HELD_OUT", 1)


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """300 coloured images in a folder with a space."""
    return put_images(tmp_path_factory.mktemp("own") / "my images", made_colour_images(300, seed=1)[0])


def _saved(folder, name, pixels, mode=None, **options):
    folder.mkdir(exist_ok=True)
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(folder / name, **options)
    return folder


def _state(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()}


# --- what is read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "factor"),
    [("a.png", "L", 1), ("a.PNG", "RGB", 1), ("a.png", "LA", 1), ("a.png", None, 257), ("a.png", "P", 1)],
)
def test_grey_files_of_any_mode_give_the_same_grey_image(few, tmp_path, name, mode, factor):
    flat = np.full((28, 28), 120, np.uint16 if factor > 1 else np.uint8) * factor
    folder = _saved(_saved(tmp_path / "own", name, flat, mode), "b.png", np.full((28, 28), 7, np.uint8))
    found, images, labels = own.read(folder)
    assert images.shape == (2, 1, 28, 28) and images.dtype == np.uint8 and not found.data.colour and (labels == 0).all()
    assert (images[0] == 120).all() and (images[1] == 7).all()
    assert "2 grey images of 28 x 28 pixels;" in found.said


@pytest.mark.parametrize(
    ("name", "mode"), [("a.jpg", "RGB"), ("a.jpeg", "CMYK"), ("a.png", "RGB"), ("a.png", "RGBA"), ("a.png", "P")]
)
def test_one_coloured_file_makes_all_of_them_coloured(few, tmp_path, name, mode):
    folder = _saved(_saved(tmp_path / "own", name, COLOUR, mode), "b.png", np.full((40, 20), 7, np.uint8))
    found, images, _ = own.read(folder)
    assert images.shape == (2, 3, 32, 32) and found.data.colour and found.data.channels == 3 and found.data.size == 32
    assert np.abs(images[0].astype(int) - np.array([204, 0, 0])[:, None, None]).max() <= 3 and (images[1] == 7).all()
    assert (
        "2 colour images of 2 sizes, cropped to the middle and resized to 32 x 32 pixels; 1 to train on, 1 held out"
        in found.said
    )


def test_transparent_parts_lie_on_white_and_the_middle_is_kept(few, tmp_path):
    wide = np.zeros((10, 50, 4), np.uint8)  # transparent, but for a black square in the middle
    wide[:, 20:30, 3] = 255
    tall = np.zeros((50, 10), np.uint8)
    tall[20:30] = 90
    _, images, _ = own.read(_saved(_saved(tmp_path / "own", "a.png", wide), "b.png", tall))
    assert (images[0, 0, 8:-8, 8:-8] == 0).all() and (images[1, 0, 8:-8, 8:-8] == 90).all()
    clear = np.full((10, 10, 4), 77, np.uint8) * np.array([1, 1, 1, 0], np.uint8)
    assert (
        own.read(_saved(tmp_path / "other", "a.png", clear) and _saved(tmp_path / "other", "b.png", tall))[1][0] == 255
    ).all()


def test_a_large_photograph_turned_by_its_camera_is_turned_back(few, tmp_path):
    picture = np.zeros((600, 600), np.uint8)
    picture[:300] = 250  # the upper half is light
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    folder = _saved(_saved(tmp_path / "own", "a.jpg", picture, exif=exif), "b.png", GREY)
    image = own.read(folder)[1][0, 0]
    assert (image[:, :13] < 10).all() and (image[:, 15:] > 240).all()


def test_sub_folders_are_read_in_the_order_of_names_and_what_is_hidden_or_no_image_is_not(few, tmp_path):
    folder = tmp_path / "own"
    for place, value in (("b", 3), ("a", 1), ("a/z", 2), (".thumbnails", 9)):
        (folder / place).mkdir(parents=True)
        _saved(folder / place, "x.png", np.full((28, 28), value, np.uint8))
    (folder / ".DS_Store").write_bytes(b"?")
    (folder / "notes.txt").write_text("?")
    assert own.read(folder)[1][:, 0, 0, 0].tolist() == [1, 2, 3]


def test_the_split_is_random_the_same_each_time_and_shares_nothing(colour):
    found = own.read(colour)[0]
    assert (found.n_train, found.n_held_out) == (180, 120)
    first, again = sets.load(found.data), sets.load(found.data)
    assert (
        first.train.shape == (180, 3, 32, 32)
        and first.held_out.shape == (120, 3, 32, 32)
        and torch.equal(first.train, again.train)
    )
    rows = [image.numpy().tobytes() for image in torch.cat([first.train, first.held_out])]
    assert len(set(rows)) == 300 and rows != [image.tobytes() for image in own.read(colour)[1]]
    part = sets.load(found.data.model_copy(update={"n_train": 50}))
    assert len(part.train) == 50 and part.sha256 != first.sha256
    with pytest.raises(DataError, match="n_train is 181, but own has 180 images"):
        sets.load(found.data.model_copy(update={"n_train": 181}))


def test_it_is_said_once_read_from_the_cache_and_anew_after_a_change_and_never_written_to(
    colour, tmp_path, monkeypatch, capsys
):
    before = _state(colour)
    first = own.read(colour)
    said = capsys.readouterr().err
    assert said.count(first[0].said) == 1 and said.count("\n") == 2
    own._read.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(own, "_from_image", lambda path: pytest.fail("decoded again"))
        second = own.read(colour)
    assert second[0] == first[0] and np.array_equal(second[1], first[1]) and not capsys.readouterr().err
    assert _state(colour) == before
    (kept,) = (tmp_path / "cache").glob("own-*.npz")
    kept.write_bytes(kept.read_bytes()[:1000])  # torn
    own._read.cache_clear()
    assert np.array_equal(own.read(colour)[1], first[1])
    whole = kept.read_bytes()
    for flipped in (6, 8):  # the zip seems encrypted, or of another method
        at = whole.rindex(b"PK\x01\x02") + flipped + 2
        kept.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        own._read.cache_clear()
        assert np.array_equal(own.read(colour)[1], first[1])


def test_another_content_is_another_data_set_and_another_place_is_not(few, tmp_path):
    folder = _saved(_saved(tmp_path / "own", "a.png", GREY), "b.png", GREY)
    first = own.read(folder)[0].data
    folder.rename(tmp_path / "moved")
    moved = own.read(tmp_path / "moved")[0].data
    assert moved.sha256 == first.sha256 and run_hash(Floor(data=moved)) == run_hash(Floor(data=first))
    assert (
        "path" not in Floor(data=moved).model_dump_json() and parse(Floor(data=moved).model_dump(mode="json")).data.path is None
    )
    _saved(tmp_path / "moved", "a.png", GREY[::-1])
    assert run_hash(Floor(data=own.read(tmp_path / "moved")[0].data)) != run_hash(Floor(data=first))
    with pytest.raises(DataError, match="were changed since this run was declared"):
        sets.load(moved)
    with pytest.raises(DataError, match="is not known here: use --profile quick:FOLDER"):
        sets.load(parse(Floor(data=moved).model_dump(mode="json")).data)


def test_a_folder_and_a_cache_that_cannot_be_written_are_no_obstacle(few, tmp_path, monkeypatch, read_only_disk):
    folder = _saved(_saved(tmp_path / "own", "a.png", GREY), "b.png", GREY)
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.setenv("DIPDDPM_CACHE", str(read_only_disk / "cache"))
    assert len(own.read(tmp_path / "link")[1]) == 2


# --- IDX files ------------------------------------------------------------------------------------------------------------


def _digits(folder, packed=False, test=True, labels=True):
    """The embedded digits, at a third of the contrast, under MNIST's names."""
    whole = sets.load(Data(name="digits5k", n_train=400, n_held_out=200))
    folder.mkdir()
    for part, images, own_labels in (
        ("train", whole.train, whole.train_labels),
        ("t10k", whole.held_out, whole.held_out_labels),
    ):
        content = {
            f"{part}-images-idx3-ubyte": (images[:, 0] // 3).numpy(),
            f"{part}-labels-idx1-ubyte": own_labels.numpy() + 10,
        }
        for name, array in list(content.items())[: 1 + labels] if part == "train" or test else ():
            body = idx(array)
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(body) if packed else body)
    return folder, whole


@pytest.mark.parametrize("packed", [False, True])
def test_an_idx_set_keeps_its_split_and_its_labels(tmp_path, packed):
    folder, whole = _digits(tmp_path / "own", packed)
    data = own.read(folder)[0].data
    found = sets.load(data)
    assert torch.equal(found.train, whole.train // 3) and torch.equal(found.held_out, whole.held_out // 3)
    assert torch.equal(found.train_labels, whole.train_labels) and data.labelled  # 10..19 are the classes 0..9
    assert "600 grey images of 28 x 28 pixels; 400 to train on, 200 held out; 10 labels" in own.read(folder)[0].said


def test_an_idx_set_without_a_test_part_or_labels_is_split_and_judged_as_images_are(tmp_path):
    folder, _ = _digits(tmp_path / "own", test=False, labels=False)
    found = own.read(folder)[0]
    assert (found.n_train, found.n_held_out, found.given, found.data.labelled) == (240, 160, False, False)
    assert evaluate.space(found.data).sha256 == spaces.extractor("mnist").sha256


def test_an_idx_set_of_another_size_is_resized(few, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "images-idx3-ubyte").write_bytes(idx(np.full((5, 64, 40), 33, np.uint8)))
    found, images, _ = own.read(tmp_path / "own")
    assert images.shape == (5, 1, 28, 28) and (images == 33).all() and "resized to 28 x 28" in found.said


# --- mistakes -------------------------------------------------------------------------------------------------------------


def _one_line(path):
    with pytest.raises(DataError) as error:
        own.read(path)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("damage", ["empty", "text", "torn"])
def test_a_damaged_image_is_named(few, tmp_path, ending, damage):
    folder = put_images(tmp_path / "own", np.random.default_rng(0).integers(0, 256, (5, 90, 90), dtype=np.uint8), ending)
    bad = folder / f"0003.{ending}"
    bad.write_bytes({"empty": b"", "text": b"<html>", "torn": bad.read_bytes()[: bad.stat().st_size // 2]}[damage])
    said = _one_line(folder)
    assert (
        said.startswith(f"{bad} cannot be read as an image")
        and "repair it or take it out" in said
        and " object at " not in said
    )


def test_an_image_whose_exif_cannot_be_read_is_named(few, tmp_path, monkeypatch):
    folder = put_images(tmp_path / "own", np.random.default_rng(0).integers(0, 256, (5, 90, 90), dtype=np.uint8), "png")
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", lambda picture: struct.unpack("H", b""))  # as Pillow's own readers do
    assert _one_line(folder).startswith(f"{folder / '0000.png'} cannot be read as an image (")


@pytest.mark.parametrize("below", [".", "results", "a/b"])
def test_results_do_not_lie_among_the_images(few, tmp_path, below):
    folder = put_images(tmp_path / "own", np.random.default_rng(0).integers(0, 256, (5, 90, 90), dtype=np.uint8), "png")
    with pytest.raises(UsageError, match="among your images"):
        Store(folder / below, f"smoke:{folder}")
    assert Store(tmp_path / "own-results", f"smoke:{folder}").root.parent.name == "own-results"


def test_a_name_need_not_be_utf_8(few, tmp_path):
    folder = put_images(tmp_path / "own", np.random.default_rng(0).integers(0, 256, (5, 90, 90), dtype=np.uint8), "png")
    try:
        (folder / "0003.png").rename(folder / "bad\udcff.png")
    except OSError:
        pytest.skip("this file system has no such names")
    assert len(own.read(folder)[1]) == 5


def test_what_is_no_folder_of_images_says_what_was_expected(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    _saved(tmp_path / "tiff", "a.tiff", GREY)
    expected = {"nowhere": "does not exist", "file": "is not a folder", "/dev/null": "is not a folder"}
    expected |= {"dangling": "is not a folder", "empty": "holds 0 files but no image", "tiff": "holds 1 files but no image"}
    for name, what in expected.items():
        said = _one_line(tmp_path / name)
        assert what in said and name in said and "expected a folder of PNG or JPEG images, or of IDX files" in said
    put_images(tmp_path / "few", np.zeros((200, 4, 4), np.uint8))
    assert "gives 120 images to train on and 80 to judge by, expected at least 130 and 65" in _one_line(tmp_path / "few")


def test_copies_of_a_few_images_are_not_enough_of_them(tmp_path):
    """Their covariance has no root, and a Frechet distance of them says nothing."""
    put_images(tmp_path / "own", np.tile(np.random.default_rng(0).integers(0, 255, (25, 28, 28), np.uint8), (10, 1, 1)))
    assert "gives 250 images of which 25 are different, expected at least 130: add more images" in _one_line(tmp_path / "own")


def test_a_folder_that_is_reached_by_a_link_is_not_left_out_in_silence(few, tmp_path):
    folder = _saved(tmp_path / "own", "a.png", GREY)
    (folder / ".hidden").symlink_to(_saved(tmp_path / "elsewhere", "b.png", GREY))
    assert len(own.read(_saved(folder, "c.png", GREY))[1]) == 2
    (folder / "cats").symlink_to(tmp_path / "elsewhere")
    assert _one_line(folder).startswith(f"{folder / 'cats'} is a link to a folder, which is not followed")


def test_a_pipe_among_the_images_is_not_waited_for(few, tmp_path):
    folder = _saved(tmp_path / "own", "a.png", GREY)
    os.mkfifo(folder / "b.png")
    assert _one_line(folder) == f"{folder / 'b.png'} is neither a file nor a folder: take it out"


def test_a_link_to_nowhere_among_the_images_is_named(few, tmp_path):
    folder = _saved(tmp_path / "own", "a.png", GREY)
    (folder / "b.png").symlink_to(tmp_path / "nowhere")
    assert _one_line(folder).startswith(f"{folder / 'b.png'} cannot be read")


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("train-images-idx3-ubyte", idx(np.zeros((5, 3, 3)))[:-1], "cannot be read as an IDX file"),
        ("train-images-idx3-ubyte", b"", "cannot be read as an IDX file"),
        ("train-images-idx3-ubyte.gz", gzip.compress(bytes(99), mtime=0)[:-9], "cannot be read as an IDX file"),
        ("train-images-idx3-ubyte", idx(np.zeros((5, 3))), "not bytes in 3 dimensions"),
        ("train-images-idx3-ubyte", idx(np.zeros((0, 32, 32))), "its header says 0 x 32 x 32"),
        ("train-labels-idx1-ubyte", idx(np.zeros(4)), "has 4 labels for 3 images"),
        ("other-images-idx3-ubyte", idx(np.zeros((5, 3, 3))), "holds 2 IDX files of images, expected one"),
    ],
)
def test_a_damaged_or_unclear_idx_set_says_so(few, tmp_path, name, body, says):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 28, 28))))
    if name.endswith("gz"):
        (tmp_path / "train-images-idx3-ubyte").unlink()
    (tmp_path / name).write_bytes(body)
    assert says in _one_line(tmp_path)


def test_a_data_set_is_own_if_and_only_if_it_has_a_checksum():
    for values in ({"name": "own"}, {"name": "mnist", "sha256": "0"}):
        with pytest.raises(ValueError, match="expected it with name 'own', and only there"):
            Data(**values)
    assert json.loads(Floor(data=Data(name="mnist")).model_dump_json(exclude_defaults=True)) == {"data": {"name": "mnist"}}


# --- a profile on them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["smoke", "quick", "standard"])
def test_a_profile_on_own_images_has_its_own_question_and_no_run_of_ours(colour, name):
    ours, theirs = profiles.load(name), profiles.load(f"{name}:{colour}")
    assert theirs.name == f"{name}:{colour}" and theirs.folder == f"{name}-my_images-{own.read(colour)[0].data.sha256[:6]}"
    left_out = ("a-", "b-", "dip_pick", "photos", "restore-more")
    assert set(theirs.groups) == {group for group in ours.groups if not group.startswith(left_out)}
    datas = {part for entry in theirs.entries.values() for part in entry.run.parts() if isinstance(part, Data)}
    assert {data.name for data in datas} == {"own"} and all(data.path == str(colour) for data in datas)
    same = {entry.hash for entry in theirs.entries.values()} & {entry.hash for entry in ours.entries.values()}
    assert same == {entry.hash for entry in theirs.entries.values() if entry.run.kind == "gaussian"}  # the theory has no data
    assert profiles.load(name) == ours  # not changed by the other
    restoring = [one for one in theirs.groups.get("restore", []) if isinstance(one.entry.run, Restore)]
    assert restoring or name != "standard"
    for one in restoring:  # each model has images of its own, and no other data set's models leave some unused
        models = sum((other.label, other.value) == (one.label, one.value) for other in restoring)
        assert one.entry.run.seed < models
        assert 120 // models - 1 <= one.entry.run.n + one.entry.run.n_tune <= 120 // models or name == "smoke"
    for entry in theirs.entries.values():
        assert entry.run.seed == int(entry.name.rsplit("-s", 1)[1]) and theirs.find(entry.run) is entry
        for part in entry.run.parts():
            if isinstance(part, Evaluate):
                assert part.n <= 90 and part.final_n <= 90
            assert not isinstance(part, Floor) or max(part.ns) <= 90
            assert not isinstance(part, Stopping) or part.n_images <= 120
            assert not isinstance(part, Restore) or part.n + part.n_tune <= 120 and not part.validation
            assert not isinstance(part, Bank) or (part.n or 90) <= 90
            if isinstance(part, Sample) and (bank := part.start.bank) is not None:
                assert bank.n == part.n and bank.data == part.model.data
            assert not isinstance(part, Data) or (part.n_train or 0) < 180 and (part.n_held_out or 0) < 120


def _tiny(data: Data) -> Run:
    judged = Evaluate(every=2, n=65, sampler=Sampler(steps=2), final_n=65, final_sampler=Sampler(steps=2))
    unet = Unet(width=8, mults=(1,), blocks=1, patch=4, middle_attention=False)
    dip = Dip(data=data, net="2conv", width=4, optim=Optim(steps=2))
    return Ddpm(data=data, dip=dip, unet=unet, optim=Optim(steps=2, ema_decay=None), evaluate=judged)


def test_a_model_trained_on_a_folder_of_images_is_judged_with_kid_and_has_a_record_apart_from_ours(colour, tmp_path):
    store = Store(tmp_path / "results", f"smoke:{colour}", device="cpu")
    data = own.read(colour)[0].data
    record = store.ensure(_tiny(data))
    assert record.folder.parent == tmp_path / "results" / f"smoke-my_images-{data.sha256[:6]}" / "runs"
    assert (
        record.metrics["features"] == "FD-CIFAR"
        and record.metrics["kid_low"] <= record.metrics["kid"] <= record.metrics["kid_high"]
    )
    assert record.arrays["grid"].shape[1:] == (3, 32, 32) and record.metrics["n_held_out"] == 120
    assert record.run.data.sha256 == data.sha256 and record.provenance["data"] == {"own": sets.load(data).sha256}
    assert str(colour) not in (record.folder / "record.json").read_text()
    floor = store.ensure(Floor(data=data, ns=(65, 90), repeats=2))
    assert floor.metrics["kid"] < record.metrics["kid"]
    assert {path.name for path in (tmp_path / "results").iterdir()} == {store.root.name}


def test_labelled_images_are_judged_by_a_classifier_of_their_own_fitted_once(tmp_path, monkeypatch, capsys):
    folder, _ = _digits(tmp_path / "own")
    monkeypatch.setattr(classifier, "OWN_IMAGES", 6000)
    monkeypatch.setitem(classifier.OWN, "widths", (8, 8, 16))
    monkeypatch.setattr(classifier, "BATCH", 50)
    classifier.own_features.cache_clear()
    data = own.read(folder)[0].data
    budget, steps = Budget(), classifier.shifted

    def out_of_time(*args, **options):
        budget.deadline = 0.0
        return steps(*args, **options)

    with monkeypatch.context() as patch, pytest.raises(OutOfTime):
        patch.setattr(classifier, "shifted", out_of_time)
        evaluate.space(data, "cpu", budget)
    assert not list(files.cache_folder().glob("features-*")) and "images right" not in capsys.readouterr().err
    space = evaluate.space(data)
    assert space.name == "FD-OWN" and space.dim == 64 and "% of the held-out images right" in capsys.readouterr().err
    found = sets.load(data)
    assert classifier.accuracy(space.module, found.held_out, found.held_out_labels) > 0.5
    (kept,) = files.cache_folder().glob("features-*")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])  # a bit of a weight
    classifier.own_features.cache_clear()
    assert evaluate.space(data).sha256 == space.sha256 and kept.read_bytes() == whole  # fitted again
    monkeypatch.setattr(classifier, "fit", lambda *args, **options: pytest.fail("fitted again"))
    classifier.own_features.cache_clear()
    assert evaluate.space(data.model_copy(update={"n_train": 99})).sha256 == space.sha256  # of all training images
    noise = torch.randint(256, (80, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    scores = [evaluate.evaluate(x, found, space, np.random.default_rng(0)) for x in (found.train[:80], noise)]
    assert abs(scores[0]["kid"]) < scores[1]["kid"] / 5
    classifier.own_features.cache_clear()


# --- the command line -----------------------------------------------------------------------------------------------------


def test_the_command_line_describes_them_and_lists_their_runs_by_a_relative_path(colour, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(colour.parent)
    assert command_line.main(["data", "./my images"]) == 0
    out = capsys.readouterr().out
    assert "300 colour images of 32 x 32 pixels; 180 to train on" in out and "KID on FD-CIFAR's features; no FID" in out
    assert "--profile 'quick:./my images'" in out
    assert command_line.main(["runs", "--profile", "smoke:./my images", "--results", str(tmp_path)]) == 0
    assert f"profile smoke:{colour}: 0 of" in capsys.readouterr().out and not list(tmp_path.glob("smoke*"))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["data", "./nowhere"], 1, "nowhere does not exist, expected a folder of PNG"),
        (
            ["data", "nonsense"],
            2,
            "unknown data set 'nonsense': choose one of digits5k, mnist, fashion_mnist, cifar10, or give a folder",
        ),
        (["runs", "--profile", "quick:/dev/null"], 1, "/dev/null is not a folder"),
        (["run", "floor", "--profile", "big:."], 2, "unknown profile 'big'"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(arguments, code, says, capsys):
    assert command_line.main(arguments) == code
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1


def test_a_profile_that_is_unknown_is_said_before_any_image_is_read(tmp_path):
    with pytest.raises(UsageError, match="unknown profile 'big'"):
        profiles.load(f"big:{tmp_path}/nowhere")
    with pytest.raises(UsageError, match="full holds the two reports' runs on their own data: use quick:"):
        profiles.load(f"full:{tmp_path}/nowhere")
