"""The notebooks' first cell: the same everywhere, from any folder, with one line where it cannot go on; Drive; badges."""

import json
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from dipddpm_utils import __main__ as command_line
from dipddpm_utils.driver import colab, install
from dipddpm_utils.machine import drive
from dipddpm_utils.machine.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))


def first_cell(path):
    return next("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code")


@pytest.fixture
def on_colab(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A folder outside the checkout, from which the package cannot be imported; what is put on sys.path is seen and undone."""
    place = tmp_path / "else where"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(colab, "prepare", lambda: None)
    return place


def test_it_is_the_same_in_all_notebooks():
    assert len(NOTEBOOKS) == 7 and len({first_cell(path) for path in NOTEBOOKS}) == 1


@pytest.mark.parametrize("below", ["", "notebooks", "notebooks/mine/deep", ".."])
def test_it_finds_the_checkout_from_any_folder_of_it_and_beside_it(elsewhere, monkeypatch, below):
    (elsewhere / "dipddpm" / "dipddpm_utils").mkdir(parents=True)
    (elsewhere / "dipddpm" / "dipddpm_utils" / "config.py").touch()
    (elsewhere / "dipddpm" / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(elsewhere / "dipddpm" / below)
    exec(first_cell(NOTEBOOKS[0]), {})
    assert sys.path == [str(elsewhere / "dipddpm")]  # last, so that no file of a user's shadows the standard library


def test_outside_a_checkout_it_says_what_was_looked_for_and_what_to_do(elsewhere):
    with pytest.raises(FileNotFoundError) as error:
        exec(first_cell(NOTEBOOKS[0]), {})
    said = str(error.value)
    assert "\n" not in said and "no dipddpm_utils in " + str(elsewhere) in said and "cd dipddpm, then jupyter lab" in said


def test_outside_a_checkout_an_installed_package_will_do(elsewhere, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "dipddpm_utils" or None)
    exec(first_cell(NOTEBOOKS[0]), {})
    assert sys.path == []


def test_on_colab_it_clones_the_address_of_its_badge_or_says_why_not(elsewhere, on_colab, monkeypatch):
    asked = []
    answer = SimpleNamespace(returncode=128, stderr="fatal: repository\nnot found\n")
    monkeypatch.setattr("subprocess.run", lambda command, **_: asked.append(command) or answer)
    with pytest.raises(RuntimeError, match=r"^git could not clone https://\S+ into .+: fatal: repository not found$"):
        exec(first_cell(NOTEBOOKS[0]), {})
    answer.returncode = 0
    exec(first_cell(NOTEBOOKS[0]), {})
    assert sys.path == [str(elsewhere / "dipddpm")]
    address = asked[1][-2].removeprefix("https://github.com/")
    assert all(
        f"colab.research.google.com/github/{address}/blob/main/notebooks/{path.name}" in path.read_text() for path in NOTEBOOKS
    )


def test_only_what_colab_lacks_is_installed_and_nothing_replaced(on_colab, monkeypatch):
    have = {package.name: "0.0.1" for package in install.read_lock((ROOT / "requirements.lock").read_text())}
    del have["pytorch-fid"], have["filelock"], have["papermill"], have["hypothesis"]
    monkeypatch.setattr(install, "installed", lambda: have)
    wanted = []
    monkeypatch.setattr(install, "install", wanted.extend)
    colab.prepare()
    assert {package.name for package in wanted} == {"pytorch-fid", "filelock"}


def test_elsewhere_nothing_is_installed(monkeypatch):
    monkeypatch.setattr(install, "installed", dict)
    monkeypatch.setattr(install, "install", lambda *_, **__: pytest.fail("something was installed"))
    colab.prepare()


def test_drive_is_mounted_once_and_only_on_colab(monkeypatch, tmp_path):
    monkeypatch.setattr(drive, "MOUNT", tmp_path)
    with pytest.raises(UsageError, match='^results = "drive" is for notebooks on Colab'):
        drive.folder()
    mounted = []
    fake = ModuleType("google.colab")
    fake.drive = SimpleNamespace(mount=lambda place: mounted.append(place) or (tmp_path / "MyDrive").mkdir())
    monkeypatch.setitem(sys.modules, "google", ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", fake)
    assert drive.folder() == drive.folder() == tmp_path / "MyDrive" / "dipddpm-results"
    assert mounted == [str(tmp_path)]


def test_one_command_sets_the_address_everywhere(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    for name in ("README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(colab.files, "CHECKOUT", tmp_path)
    assert command_line.main(["badges", "some-one/a.report"]) == 0
    assert "some-one/a.report set in 9 files" in capsys.readouterr().out
    others = {"actions/checkout", "ty0601/GAI-HW4", "zglian/GAI-project4"}  # the last two: the reports' own
    for path in tmp_path.rglob("*.*"):
        found = set(re.findall(r"github(?:\.com)?/([\w.-]+/[\w.-]+)", path.read_text())) - others
        assert found == {"some-one/a.report"}, path
    assert others - {"actions/checkout"} <= set(
        re.findall(r"github\.com/([\w.-]+/[\w-]+)", (tmp_path / "README.md").read_text())
    )
    assert 'REPOSITORY = "https://github.com/some-one/a.report"' in first_cell(tmp_path / "notebooks" / NOTEBOOKS[0].name)


@pytest.mark.parametrize("wrong", ["someone", "a/b/c", "https://github.com/a/b", "a b/c", "/b"])
def test_an_address_of_another_form_is_one_line(wrong, capsys):
    assert command_line.main(["badges", wrong]) == 2
    err = capsys.readouterr().err
    assert "give OWNER/REPO" in err and err.count("\n") == 1
