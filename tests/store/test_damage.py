"""A record that is damaged, copied, deleted or lost is never "not measured": it is said by name, and README stays."""

import shutil
import subprocess
from pathlib import Path

import pytest

from dipddpm_utils import __main__ as command_line
from dipddpm_utils import front
from dipddpm_utils.combined import conclusions
from dipddpm_utils.driver import notebooks
from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import StoreError
from dipddpm_utils.page.lab import Lab
from dipddpm_utils.store import runs
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study import profile

COMMITTED = Path(__file__).parents[2] / "results"
QUICK = profile.load("quick")
RUN, RUNS = QUICK.entry("ddpm-s0").run, len(QUICK.entries)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with quick's records and a README; no notebook is run in it."""
    shutil.copytree(COMMITTED / "quick" / "runs", tmp_path / "results" / "quick" / "runs")
    (tmp_path / "README.md").write_text("\n\nas it was\n\n".join(front.README_MARKS))
    monkeypatch.setattr(runs, "CHECKOUT", tmp_path)
    monkeypatch.setattr(notebooks.Runner, "one", lambda self, source: notebooks.Result(source.name, "OK"))
    monkeypatch.setattr(notebooks, "build_page", lambda job: files.write_text(job.root / "report.html", ""))
    return tmp_path


def call(capsys, *arguments):
    code = command_line.main([*arguments])
    return code, capsys.readouterr()


def cut(folder):
    path = folder / "record.json"
    path.write_bytes(path.read_bytes()[:1000])
    return "record.json is not valid JSON"


def edited(folder):
    path = folder / "record.json"
    path.write_text(path.read_text().replace('"fd": ', '"fd": 1'))
    return "record.json was changed after it was written"


def of_another_schema(folder):
    files.write_json(folder / "record.json", {"schema": 99})
    return "record.json is not a record of schema 1"


def of_another_seed(folder):
    other = folder.parent / QUICK.entry("ddpm-s1").folder
    shutil.copytree(other, folder, dirs_exist_ok=True)
    return rf"record.json is the record of {other.name}, copied here"


def deleted(folder):
    (folder / "record.json").unlink()
    return "record.json is missing although arrays.npz beside it is there"


DAMAGE = [cut, edited, of_another_schema, of_another_seed, deleted]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_stops_whatever_asks_for_it_and_is_named(checkout, capsys, damage):
    store = Store(checkout / "results", "quick", records_only=True)
    assert Lab("quick", str(checkout / "results"), records_only=True).has("ddpm")
    says = damage(store.folder(RUN))
    lab = Lab("quick", str(checkout / "results"), records_only=True)
    for ask in (store.state, store.load, store.ensure, lambda _: lab.has("ddpm"), lambda _: lab.all()):
        with pytest.raises(StoreError, match=f"ddpm-s0-{store.folder(RUN).name[-10:]}/{says}.*git checkout") as caught:
            ask(RUN)
        assert "\n" not in str(caught.value)
    for command in ("runs", "report"):
        code, said = call(capsys, command, "--profile", "quick")
        assert code == 1 and store.folder(RUN).name in said.err and said.err.count("\n") == 1
    assert "as it was" in (checkout / "README.md").read_text()
    with pytest.raises(StoreError, match=says):
        conclusions.found(lab)  # no bullet vanishes


@pytest.mark.parametrize("name", ["curve.csv", "evals.csv", "arrays.npz"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_damaged_neighbour_is_named_by_the_list_and_by_who_reads_it(checkout, capsys, name, gone):
    store = Store(checkout / "results", "quick")
    path = store.folder(RUN) / name
    if gone:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    code, said = call(capsys, "runs", "--profile", "quick")
    assert code == 1 and str(path) in said.err and f"{RUNS - 1} of {RUNS} runs complete" in said.out
    assert "damaged" in next(line for line in said.out.splitlines() if line.startswith("ddpm-s0 "))
    with pytest.raises(StoreError, match=f"{name} .*git checkout"):
        store.ensure(RUN)  # not taken for complete by `run`
    with pytest.raises(StoreError, match=f"{name} .*git checkout"):
        _ = store.load(RUN).curve, store.load(RUN).evals, store.load(RUN).arrays


def test_weights_that_are_not_those_of_the_record_are_refused(tmp_path, calls):
    store, run = Store(tmp_path, "smoke"), profile.load("smoke").entry("gaussian-s0").run
    (store.ensure(run).folder / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(StoreError, match=r"weights\.safetensors is not what its record says"):
        store.weights(run)


@pytest.mark.slow
def test_a_published_profile_that_loses_a_run_is_refused_until_it_is_back(checkout, capsys):
    assert call(capsys, "report", "--profile", "quick")[0] == 0
    readme = (checkout / "README.md").read_text()
    assert "profile **quick**" in readme
    store = Store(checkout / "results", "quick")
    shutil.move(store.folder(RUN), checkout / "aside")
    for command in ("runs", "report"):
        code, said = call(capsys, command, "--profile", "quick")
        assert code == 1 and f"lost 1 of the {RUNS} records its page was drawn from (ddpm-s0): bring them back" in said.err
    assert (checkout / "README.md").read_text() == readme
    store.publish()  # another command in between does not forget it
    with pytest.raises(StoreError, match=f"lost 1 of the {RUNS}"):
        store.refuse_losses()
    shutil.move(checkout / "aside", store.folder(RUN))
    assert call(capsys, "report", "--profile", "quick")[0] == 0


def test_a_run_that_is_no_longer_declared_is_not_missed(checkout):
    store = Store(checkout / "results", "quick")
    store.publish()
    path = checkout / "results" / "quick" / runs.PUBLISHED
    path.write_text(path.read_text() + "an-old-run-s0-0123456789\n")
    store.refuse_losses()
    store.publish()
    assert "an-old-run" not in path.read_text()


def test_readme_does_not_move_to_a_weaker_profile_unnoticed(checkout, capsys):
    """Once without a word: standard lost its records, and quick spoke in its place."""
    assert front.strongest(checkout / "results") == "quick"
    lost = profile.load("standard").entry("ddpm-s0").folder
    files.write_text(checkout / "results" / "standard" / runs.PUBLISHED, f"record\n{lost}")
    with pytest.raises(StoreError, match="profile standard lost 1 of the 1 records"):
        front.strongest(checkout / "results")
    code, said = call(capsys, "report", "--profile", "quick")
    assert code == 1 and "profile standard lost" in said.err and "as it was" in (checkout / "README.md").read_text()


def test_the_strongest_profile_is_the_largest_with_all_headline_records(tmp_path, monkeypatch):
    complete = {"standard", "full"}  # full has the two reports alone, no answer
    monkeypatch.setattr(Store, "state", lambda self, run: "complete" if self.profile.name in complete else "partial")
    assert front.strongest(tmp_path) == "standard"
    complete.clear()
    assert front.strongest(tmp_path) == "quick"


@pytest.fixture
def read_only(checkout):
    """Nothing below it can be written, not even by root."""
    if subprocess.run(["mount", "--bind", "-o", "ro", checkout, checkout], capture_output=True, check=False).returncode:
        pytest.skip("a folder cannot be mounted read-only here")
    yield checkout
    subprocess.run(["umount", checkout], check=True)


def test_records_are_drawn_from_a_read_only_checkout_into_another_folder(read_only, tmp_path_factory, capsys):
    checkout, out = read_only, tmp_path_factory.mktemp("elsewhere")
    before = sorted(checkout.joinpath("results").rglob("*"))
    code, said = call(capsys, "report", "--profile", "quick", "--results", str(out))
    assert code == 0 and f"{RUNS} of {RUNS} runs have records" in said.out and (out / "quick" / "report.html").exists()
    assert sorted(checkout.joinpath("results").rglob("*")) == before and not (out / "quick" / "runs").exists()
    reader = Store(out, "quick", records_only=True)
    assert reader.ensure(RUN).folder.is_relative_to(checkout) and reader.root == out / "quick"
    assert Store(out, "quick").state(RUN) == "absent"  # what is computed there starts from nothing
    (out / "quick" / "runs").mkdir()
    assert Store(out, "quick", records_only=True).state(RUN) == "absent"


def test_an_old_record_that_is_replaced_while_it_is_read_says_so(tmp_path, calls):
    run = profile.load("smoke").entry("gaussian-s0").run
    record = Store(tmp_path, "smoke").ensure(run)
    Store(tmp_path, "smoke", fresh="run --all").ensure(run)
    (record.folder / "curve.csv").write_text("the new one's\n")
    with pytest.raises(StoreError, match="was computed anew while it was read: run the same command again"):
        _ = record.curve
