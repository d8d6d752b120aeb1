"""run_all.sh and install.py: what is refused before any installation, which environment is used, what is installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dipddpm_utils import __main__ as command_line
from dipddpm_utils.driver import install

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str, script: Path = ROOT / "run_all.sh", **environment: str) -> subprocess.CompletedProcess:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return subprocess.run([script, *arguments], env={**kept, **environment}, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "wrong",
    [["--profil"], ["quick"], ["--profile"], ["-p", "n"], ["-x"], ["--fresh", "--test"], ["--device", "cpu", "--bench"]],
)
def test_bad_usage_is_one_line_and_2_before_any_environment_is_looked_at(wrong):
    done = start(*wrong, VIRTUAL_ENV="/nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("run_all.sh: ") and done.stderr.count("\n") == 1 and not done.stdout


def test_help_needs_no_environment_and_names_every_option_of_the_command_it_calls():
    done = start("--help", VIRTUAL_ENV="/nowhere")
    assert done.returncode == 0
    options = {option for parameter in command_line.run_notebooks.params for option in parameter.opts}
    assert options <= set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.stdout))
    assert {"--test", "--bench"} <= set(done.stdout.split())


@pytest.fixture
def checkout(tmp_path):
    """A checkout on a path with a space, whose Python only notes what it is asked to do."""
    folder = tmp_path / "a check out"
    folder.mkdir()
    shutil.copy(ROOT / "run_all.sh", folder)
    env = tmp_path / "some env"
    (env / "bin").mkdir(parents=True)
    note = '[ "$1" = -c ] && { [ $# -gt 2 ] || exit 0; shift 2; set -- started "$@"; }\n'
    note += '{ printf "%s|" "$PYTHONSAFEPATH" "$@"; echo; }'
    (env / "bin" / "python").write_text(f'#!/bin/sh\n{note} >> "{tmp_path}/calls"\n')
    (env / "bin" / "python").chmod(0o755)
    return folder, env, tmp_path / "calls"


@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_an_active_environment_is_used_and_arguments_arrive_unchanged(checkout, variable):
    folder, env, calls = checkout
    words = ["--profile", "smoke", "-p", "title", "two words", "--results=x y"]
    assert start(*words, script=folder / "run_all.sh", **{variable: str(env)}).returncode == 0
    installs, runs = calls.read_text().splitlines()
    assert installs == f"1|{folder}/dipddpm_utils/driver/install.py|"
    assert runs == f"1|started|{folder}|dipddpm_utils|notebooks|" + "".join(f"{word}|" for word in words)
    assert not (folder / ".venv").exists()


def test_the_projects_own_venv_is_found_again_and_kept_exact(checkout):
    folder, env, calls = checkout
    (folder / ".venv").symlink_to(env)
    done = start("--test", "-k", "x", script=folder / "run_all.sh", CONDA_PREFIX="/opt/conda", CONDA_DEFAULT_ENV="base")
    assert done.returncode == 0, done.stderr
    assert [line.split("|")[1:-1] for line in calls.read_text().splitlines()] == [
        [f"{folder}/dipddpm_utils/driver/install.py", "--exact"],
        ["started", str(folder), "pytest", "-q", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "-k", "x"],
    ]


def test_of_two_first_starts_one_waits_for_the_other(checkout):
    folder, env, calls = checkout
    (folder / ".venv").symlink_to(env)
    alone = ["flock", folder / "run_all.sh", "sh", "-c", f"sleep 0.5; echo other >> '{calls}'"]
    with subprocess.Popen(alone) as other:
        while subprocess.run(["flock", "-n", folder / "run_all.sh", "true"]).returncode == 0:
            assert other.poll() is None
        done = start("--list", script=folder / "run_all.sh")
    assert done.returncode == 0 and "waiting for another one" in done.stderr
    assert [line.split("|")[0] for line in calls.read_text().splitlines()] == ["other", "1", "1"]
    assert not start("--list", script=folder / "run_all.sh").stderr  # it is free again


def test_a_benchmarks_results_go_to_a_folder_of_the_callers(checkout, monkeypatch, tmp_path):
    folder, env, calls = checkout
    (env / "bin" / "python").write_text(f'#!/bin/sh\npwd >> "{calls}"\n')
    monkeypatch.chdir(tmp_path)
    assert start("--bench", "--out", "here", script=folder / "run_all.sh", VIRTUAL_ENV=str(env)).returncode == 0
    assert set(calls.read_text().splitlines()) == {str(tmp_path)}


def test_it_may_be_called_by_a_link_from_anywhere(checkout, tmp_path):
    folder, env, calls = checkout
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dipddpm").symlink_to("more")  # a relative link to an absolute one
    (tmp_path / "bin" / "more").symlink_to(folder / "run_all.sh")
    assert start("--list", script=tmp_path / "bin" / "dipddpm", VIRTUAL_ENV=str(env)).returncode == 0
    assert f"|{folder}|dipddpm_utils|notebooks|--list|" in calls.read_text()


def test_no_suitable_python_is_one_line(checkout, tmp_path):
    folder, env, _ = checkout
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "env", "readlink"):
        (tools / tool).symlink_to(shutil.which(tool))
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")  # a Python that is too old
    (tools / "python3").chmod(0o755)
    done = start(script=folder / "run_all.sh", PATH=str(tools))
    assert done.returncode == 1 and "3.11, 3.12 or 3.13" in done.stderr and done.stderr.count("\n") == 1
    (env / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    done = start(script=folder / "run_all.sh", PATH=str(tools), VIRTUAL_ENV=str(env))
    assert done.returncode == 1 and "active environment" in done.stderr and done.stderr.count("\n") == 1


FAKE = """#!/bin/sh
echo "called $*"
case "$*" in *"$FAILS"*) exit 1;; esac
"""


@pytest.mark.parametrize(("fails", "code"), [("no such word", 0), ("brief", 1), ("not smoke", 1), ("--list", 1)])
def test_ci_calls_all_of_the_suite_and_beside_it_smoke_and_brief_drills_and_fails_if_either_does(fails, code, tmp_path):
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    for name in ("run_all.sh", "chromium"):
        (tmp_path / name).write_text(FAKE)
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    command, env = [tmp_path / ".ci" / "run"], {**os.environ, "PATH": path, "FAILS": fails}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code
    called = ["called --test -m not smoke and not drill", "called --test -m smoke or brief"] if fails != "--list" else []
    assert [line for line in done.stdout.splitlines() if line.startswith("called")] == called  # the set-up's is not shown
    assert all(os.access(ROOT / name, os.X_OK) for name in ("run_all.sh", ".ci/run"))


LOCK = """\
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
pandas==3.1.1 \\
    --hash=sha256:dd
Foo.Bar_baz==1.0 ; sys_platform == 'nowhere' \\
    --hash=sha256:ee
torch==2.14.1 \\
    --hash=sha256:ff
nvidia-cublas==13.1 \\
    --hash=sha256:00
triton==3.8.0 \\
    --hash=sha256:11
"""


def test_the_lock_is_read_whole():
    packages = install.read_lock(LOCK)
    assert [(p.name, p.version) for p in packages[:3]] == [("numpy", "2.4.6"), ("numpy", "2.5.5"), ("pandas", "3.1.1")]
    assert packages[1].marker == "python_full_version >= '3.12'" and packages[1].text.count("--hash") == 2
    assert "\n".join(p.text for p in packages) + "\n" == LOCK
    real = (ROOT / "requirements.lock").read_text()
    assert (
        "\n".join(p.text for p in install.read_lock(real)) == re.sub(r"^#.*\n|^\s*#.*\n", "", real, flags=re.MULTILINE).strip()
    )


@pytest.mark.parametrize(
    ("have", "expected"),
    [
        ({}, {"numpy", "pandas", "torch", "nvidia-cublas", "triton"}),
        ({"torch": "2.9", "numpy": "1.0"}, {"pandas"}),  # Colab: neither is touched, nor is another torch's CUDA added
        ({"torch": "2.14.1", "numpy": "2.4.6", "pandas": "1.5"}, {"pandas"}),  # too old for pyproject.toml
        ({"torch": "2.14.1", "numpy": "2.4.6", "pandas": "2.3"}, set()),
    ],
)
def test_only_what_is_missing_is_installed_and_torch_and_numpy_are_left_alone(have, expected):
    wanted = install.missing(install.read_lock(LOCK), have, {"pandas": ">=2.2", "numpy": ">=1.26"})
    assert {p.name for p in wanted} == expected
    assert len(wanted) == len({p.name for p in wanted})  # one numpy: the one for this Python


def test_a_torch_of_another_version_gets_no_torchvision_of_the_lock(monkeypatch):
    monkeypatch.setattr(install, "installed", lambda: {"torch": "2.9.0"})
    monkeypatch.setattr(install, "install", lambda packages: pytest.fail("something was installed"))
    with pytest.raises(SystemExit, match="torch 2.9.0 is here without torchvision"):
        install.main([])


def test_a_package_changed_after_set_up_is_put_right_and_another_build_of_it_is_left(tmp_path, monkeypatch):
    """In a real environment: packages as installers write them, changed after it was set up."""
    site = tmp_path / "site-packages"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(site)])
    monkeypatch.setattr(install, "read", lambda name: LOCK)
    monkeypatch.setattr(install, "applies", lambda marker: "nowhere" not in marker and ">=" not in marker)
    asked = []

    def put(name, version, instead_of=""):
        shutil.rmtree(site / f"{name}-{instead_of}.dist-info", ignore_errors=True)
        (site / f"{name}-{version}.dist-info").mkdir(parents=True)
        (site / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")

    def fake_install(packages):
        asked.append([f"{p.name} {p.version}" for p in packages])
        for p in packages:
            put(p.name, p.version, install.installed().get(p.name, ""))

    monkeypatch.setattr(install, "install", fake_install)
    install.main(["--exact"])
    assert asked == [["numpy 2.4.6", "pandas 3.1.1", "torch 2.14.1", "nvidia-cublas 13.1", "triton 3.8.0"]]
    put("pandas", "2.0.0", "3.1.1")
    install.main(["--exact"])
    install.main(["--exact"])
    assert asked[1:] == [["pandas 3.1.1"]]
    put("torch", "2.14.1+cu126", "2.14.1")
    put("nvidia-cublas", "12.6", "13.1")
    shutil.rmtree(site / "numpy-2.4.6.dist-info")
    install.main(["--exact"])
    assert asked[2:] == [["numpy 2.4.6"]]


@pytest.mark.parametrize("file", ["pyproject.toml", "requirements.lock"])
def test_a_file_of_set_up_that_cannot_be_read_is_one_line_with_its_name(file, tmp_path):
    (tmp_path / "dipddpm_utils" / "driver").mkdir(parents=True)
    for name in ("pyproject.toml", "requirements.lock", "dipddpm_utils/driver/install.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / file).write_bytes(b"<<<<<<< ours\n\xff\n" if file.endswith("lock") else b"<<<<<<< ours\n")
    script = tmp_path / "dipddpm_utils" / "driver" / "install.py"
    command = f"import runpy, sys; sys.prefix = {str(tmp_path)!r}; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and str(tmp_path / file) in done.stderr


@pytest.mark.parametrize("uv", [None, "/usr/bin/uv"])
def test_a_failed_installation_is_one_line(tmp_path, monkeypatch, uv):
    commands = []

    def fake(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 0 if "--version" in command else 1)

    monkeypatch.setattr(install.subprocess, "run", fake)
    monkeypatch.setattr(install.shutil, "which", lambda name: uv)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(install, "installed", dict)
    with pytest.raises(SystemExit, match="could not install requirements.lock.*network, .*disk, .*this platform and Python"):
        install.main(["--exact"])
    assert {"--require-hashes", "--no-deps"} <= set(commands[-1]) and ("uv" in commands[-1][0]) == bool(uv)
    assert not list(tmp_path.iterdir())
