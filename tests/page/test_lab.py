"""What a notebook holds while a profile is half computed: groups with the members that are there, and what is lacking."""

import shutil

import pytest
from labs import RESULTS

from dipddpm_utils.page.lab import Lab
from dipddpm_utils.priors import declared
from dipddpm_utils.store import runs
from dipddpm_utils.study import profile

THERE = ("a-ddpm-s0", "b-ddpm-s0", "b-ddpm-s1", "b-combined-s1", "floor-s0")


@pytest.fixture
def half(tmp_path):
    for name in THERE:
        (folder,) = (RESULTS / "full" / "runs").glob(f"{name}-*")
        shutil.copytree(folder, tmp_path / "full" / "runs" / folder.name)
    return Lab("full", str(tmp_path), records_only=True)


def test_a_lab_so_far_holds_what_is_there_and_the_lab_itself_only_whole_groups(half):
    so_far = half.so_far()
    assert not half.has("a-ddpm") and not half.has("b-ddpm") and half.has("floor")
    assert so_far.has("a-ddpm", "b-ddpm", "floor", "b-floor") and not so_far.has("a-2conv") and not half.has("a-ddpm")
    assert [record.name for record in so_far.seeds("b-ddpm")] == ["b-ddpm-s0", "b-ddpm-s1"]
    assert list(so_far.frame("b-ddpm")["seed"]) == [0, 1]
    assert {record.name for record in half.used.values()} == {"b-ddpm-s0", "b-ddpm-s1"}  # for its table of provenance
    assert not so_far.has("b-combined")  # its first seed, which figures show, is lacking
    assert {"a-ddpm", "b-ddpm", "b-combined", "a-2conv"} <= so_far.unfinished and "floor" not in so_far.unfinished
    assert half.unfinished == frozenset() and so_far.so_far() is so_far


def test_what_is_lacking_is_said_run_by_run(half, monkeypatch):
    shown = []
    monkeypatch.setattr("dipddpm_utils.page.lab.display", shown.append)
    assert half.lacking("a-ddpm", "restore", "b-ddpm") == ["restore", "a-ddpm-s1", "a-ddpm-s2", "b-ddpm-s2"]
    assert half.lacking("floor") == [] == half.lacking() and half.so_far().lacking("b-ddpm", "a-2conv") == ["a-2conv"]
    half.missing("floor")
    half.missing("restore", "floor", "b-ddpm")
    (said,) = shown
    assert said.data.endswith("not yet: restore, b-ddpm-s2.*")


def test_a_prior_that_was_declared_and_not_computed_takes_nothing_from_the_page(monkeypatch, capsys):
    known, more = declared.KINDS, dict(declared.KINDS)
    monkeypatch.setattr(declared, "KINDS", more)  # else it would be known to every test that follows
    declared.start("late", "a late one", of_image=False, everywhere=True)(lambda given, n, generator: None)
    standard = profile.load.__wrapped__("standard")
    monkeypatch.setattr(declared, "KINDS", known)
    late = [one for one in standard.group("starts") if one.label == "late"]
    store = runs.Store(RESULTS, "standard")
    store.profile, store.records_only = standard, True
    monkeypatch.setattr("dipddpm_utils.page.lab.open_store", lambda *_: store)
    assert late and not Lab("standard", str(RESULTS), records_only=True).has("starts")  # as it is without the declaration
    monkeypatch.setattr(declared, "KINDS", more)
    lab = Lab("standard", str(RESULTS), records_only=True)
    assert lab.has("starts", "main-starts") and "late" not in set(lab.frame("starts")["label"])
    assert "not computed yet, left out: late; `" in capsys.readouterr().err


def test_where_runs_may_be_computed_nothing_is_lacking(tmp_path):
    lab = Lab("full", str(tmp_path))
    assert lab.lacking("a-ddpm", "b-rows") == [] and lab.so_far() is lab
