"""The seven notebooks as Colab runs them: its packages, its `google.colab`, an empty folder, the badge's address.

Colab's GPU runtime of June 2026, with the Python and the torch that run this suite. The address is served from this checkout.
CI runs what is marked `brief`: all seven from records.
"""

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import overlay
import pytest

pytestmark = pytest.mark.drill
ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("0*.ipynb"))
VERSIONS = """
    ipython==7.34.0 traitlets==5.7.1 ipykernel==6.17.1 jupyter_client==7.4.9 numpy==2.0.2 pandas==2.2.2 scipy==1.16.3
    matplotlib==3.10.0 pydantic==2.12.3 click==8.4.1 filelock==3.29.0 safetensors==0.7.0 mlxtend==0.23.4 scikit-learn==1.6.1
    tqdm==4.67.3 pydantic-core==2.41.4 decorator==4.4.2 pickleshare==0.7.5 backcall==0.2.0 pytz==2025.2
"""
DRIVE = """
import sys
from pathlib import Path
def mount(place):
    assert place == "/content/drive"
    here = Path({drive!r})
    (here / "MyDrive").mkdir(parents=True, exist_ok=True)
    sys.modules["dipddpm_utils.machine.drive"].MOUNT = here
"""


class Colab:
    """A machine of Colab: its kernel, its home, and /content, where the notebooks' kernels start."""

    def __init__(self, base: Path, python: Path, served: Path) -> None:
        self.content, self.home = base / "content", base / "home"
        self.content.mkdir()
        kernel = self.home / "jupyter" / "kernels" / "colab"
        kernel.mkdir(parents=True)
        argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "colab", "language": "python"}))
        repository = re.search(r'REPOSITORY = \\"(\S+)\\"', (ROOT / "notebooks" / f"{NOTEBOOKS[0]}.ipynb").read_text())[1]
        (self.home / ".gitconfig").write_text(f'[url "{served.as_uri()}"]\n\tinsteadOf = {repository}\n')

    def run(self, name: str, **parameters: str) -> tuple[list, list]:
        """Run a notebook from top to bottom; its outputs, and what happened to the runs that it used."""
        executed, events = self.home / f"{name}.ipynb", self.home / f"{name}.events"
        events.unlink(missing_ok=True)
        own = {"HOME": self.home, "JUPYTER_PATH": self.home / "jupyter", "DIPDDPM_EVENTS": events, "DIPDDPM_OFFLINE": "1"}
        own["OMP_NUM_THREADS"] = "1"  # two notebooks run at a time
        kept = {key: value for key, value in os.environ.items() if not re.match("DIPDDPM_|PYTHONPATH|XDG_|JUPYTER", key)}
        command = [sys.executable, "-m", "papermill", ROOT / "notebooks" / f"{name}.ipynb", executed, "-k", "colab"]
        command += ["--cwd", self.content, "--no-progress-bar"]
        for key, value in parameters.items():
            command += ["-r", key, value]
        environment = {**kept, **{key: str(value) for key, value in own.items()}}
        done = subprocess.run([str(word) for word in command], env=environment, cwd=self.home, capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.stderr[-3000:]}"
        cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
        lines = [json.loads(line) for line in events.read_text().splitlines()]
        return [output for cell in cells for output in cell.get("outputs", ())], lines

    def run_all(self, **parameters: str) -> dict[str, tuple[list, list]]:
        """What `run` gives, by notebook: the first one makes the clone, then two at a time."""
        first, *others = NOTEBOOKS
        done = {first: self.run(first, **parameters)}
        with ThreadPoolExecutor(2) as pool:
            return done | dict(zip(others, pool.map(lambda name: self.run(name, **parameters), others), strict=True))


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The Python of an environment with Colab's versions, in which `google.colab` is loaded as its kernel has it."""
    base = tmp_path_factory.mktemp("environment")
    made, packages = overlay.make(base / "venv", VERSIONS.split(), "--no-deps")
    (packages / "google" / "colab").mkdir(parents=True)
    (packages / "google" / "colab" / "__init__.py").touch()
    (packages / "google" / "colab" / "drive.py").write_text(DRIVE.format(drive=str(base / "drive")))
    (packages / "colab.pth").write_text("import google.colab\n")
    return made


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """What stands behind the badge's address: the working tree, as it is."""
    place = tmp_path_factory.mktemp("served") / "repository.git"
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", f"--git-dir={place}"]
    subprocess.run([*git, "init", "--quiet", "--bare", "--initial-branch=main"], check=True)
    tree = [*git, "-c", "core.bare=false", f"--work-tree={ROOT}"]
    subprocess.run([*tree, "add", "--all"], check=True, cwd=ROOT)
    subprocess.run([*tree, "commit", "--quiet", "-m", "served"], check=True, cwd=ROOT)
    return place


@pytest.fixture(scope="module")
def colab(tmp_path_factory, python, served):
    return Colab(tmp_path_factory.mktemp("colab"), python, served)


@pytest.fixture(scope="module")
def drawn(colab):
    return colab.run_all()


@pytest.fixture(scope="module")
def computed(colab):
    return colab.run_all(profile="smoke")


@pytest.mark.brief
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_draws_from_the_records_that_its_clone_brings(drawn, name):
    outputs, events = drawn[name]
    assert {event["action"] for event in events} == {"record"}
    pictures = [output for output in outputs if "image/png" in output.get("data", ())]
    assert pictures and all(len(picture["metadata"]["image/png"]["alt"]) > 20 for picture in pictures)
    assert not said(outputs)


def said(outputs: list) -> list[str]:
    """The lines of stderr, but for matplotlib's about a new home, which it writes if it takes long."""
    lines = "".join("".join(output["text"]) for output in outputs if output.get("name") == "stderr").splitlines()
    return [line for line in lines if "building the font cache" not in line]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_computes(computed, name):
    outputs, events = computed[name]
    assert events and {event["action"] for event in events} <= {"computed", "record"}
    for line in said(outputs):  # progress as plain lines, which are still there when the page is loaded again
        assert re.fullmatch(r"computing \S+|waiting for .*|\S+( \w+)?: \d+/\d+  \d+ s, about \d+ s left.*", line), line


def test_records_kept_in_drive_outlive_the_machine(colab, python, served, tmp_path):
    outputs, events = colab.run(NOTEBOOKS[0], profile="smoke", results="drive")
    assert {event["action"] for event in events} == {"computed"} and "computing gaussian" in "\n".join(said(outputs))
    _, events = Colab(tmp_path, python, served).run(NOTEBOOKS[0], profile="smoke", results="drive")
    assert {event["action"] for event in events} == {"record"}


@pytest.mark.brief
def test_nothing_was_installed(python):
    """What Colab has stays as it is: these are the versions that the notebooks ran with."""
    listed = subprocess.run([python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True).stdout.lower()
    listed = listed.replace("_", "-").split()
    assert {version.replace("_", "-") for version in VERSIONS.split()} <= set(listed)
