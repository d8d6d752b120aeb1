"""The house's habits, held by the suite: ruff, floors, stripped notebooks, equal version files, no paths or hosts."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dipddpm_utils.driver import install

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def tool(*command: str) -> str:
    """What a Python tool says if it finds fault; nothing otherwise."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    return (done.stdout + done.stderr).strip() if done.returncode else ""


def ours() -> list[Path]:
    """The files of the checkout: tracked ones and new ones that git does not ignore; without git, all but what tools made."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode == 0 and done.stdout:
        return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    made = re.compile(r"/(\.|__pycache__|smoke/|data/)")
    return [path for path in ROOT.rglob("*") if path.is_file() and not made.search("/" + str(path.relative_to(ROOT)))]


@pytest.mark.parametrize("check", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff(check):
    assert not tool("-m", "ruff", *check, "--no-cache", ".")


def test_a_floor_imports_only_from_those_below():
    said = tool("-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])")
    assert not said, said[-3000:]


def test_notebooks_are_stripped():
    assert not NOTEBOOKS or not tool("-m", "nbstripout", "--verify", "--keep-id", *map(str, NOTEBOOKS))


def test_environment_yml_pyproject_and_lock_agree():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needs = install.direct_needs()
    locked = {}
    for package in install.read_lock((ROOT / "requirements.lock").read_text()):
        locked.setdefault(package.name, []).append((package.version, package.marker))
    conda = (ROOT / "environment.yml").read_text()
    pinned = {}
    for line in re.findall(r"^ {6}- (.+)$", conda, flags=re.MULTILINE):
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        name, version = requirement.split("==")
        pinned.setdefault(install.canonical(name), []).append((version, marker))
    assert pinned == {name: locked[name] for name in needs}
    assert all(install._fits(version, needs[name]) for name, versions in pinned.items() for version, _ in versions)
    assert f"python {pyproject['project']['requires-python']}" in conda
    assert re.findall(r"^  - (?!python|pip)(.+)$", conda, flags=re.MULTILINE) == ["conda-forge", "nodefaults"]


def test_the_lock_pins_every_package_by_hash():
    packages = install.read_lock((ROOT / "requirements.lock").read_text())
    assert len(packages) > 150
    assert all(package.version and "--hash=sha256:" in package.text for package in packages)


def test_versions_agree():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_registry_address_and_no_path_of_this_machine():
    # put together here, so that this file does not find itself
    hosts = "|".join(["py" + "pi", "npm" + "js", "pythonhosted", "anaconda", "debian"])
    registry = re.compile(rf"//[a-z0-9.-]*({hosts})[a-z.-]*")
    folders = {str(ROOT.parent), str(Path.home())} - {"/"}
    roots = {"/" + name + "/" for name in ("work", "home/runner", "Users", "private/var")} | {
        folder + "/" for folder in folders
    }
    faults = []
    for path in ours():
        data = path.read_bytes()
        if b"\0" in data[:8000]:
            continue
        text = data.decode("utf-8", errors="replace")
        name = path.relative_to(ROOT)
        faults += [f"{name}: the address of a registry, {match[0]}" for match in registry.finditer(text)]
        held = [root for root in roots if root in text]  # 30 MB are looked through: a plain search first
        faults += [
            f"{name}: a path of a machine, {root}" for root in held if re.search(rf"(?<![\w.~*-]){re.escape(root)}", text)
        ]
    assert not faults, "\n".join(faults)


def test_results_stay_small():
    """Under 38 MB in bytes (in blocks of 4 KiB a fifth more), with no file over 5 MB."""
    sizes = {path: path.stat().st_size for path in ours() if path.is_relative_to(ROOT / "results")}
    assert sizes and sum(sizes.values()) < 38_000_000
    assert max(sizes.values()) < 5_000_000, max(sizes, key=sizes.get)


@pytest.mark.parametrize("name", ["smoke", "quick", "standard"])
def test_results_of_images_of_ones_own_are_kept_out_of_version_control(name):
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("not a git checkout")
    ignored = ["git", "check-ignore", "-q", f"results/{name}-my_images-0a1b2c/report.html"]
    assert subprocess.run(ignored, cwd=ROOT).returncode == 0


def test_only_local_hooks():
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"- repo: (\S+)", text) == ["local"]
    assert {"ruff check", "ruff format", "nbstripout", "notebook_rules"} <= set(
        re.findall(r"ruff \w+|nbstripout|notebook_rules", text)
    )
