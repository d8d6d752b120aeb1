"""A drill on a real SLURM of one node: `DIPDDPM_DRILL_INSTALL=1 ./run_all.sh --test -m drill tests/drills/test_slurm.py`.

It starts munged, slurmctld and slurmd (Debian: munge, slurmctld, slurmd, slurm-client) as root in a temporary folder, on
ports of its own, and stops them at the end. DIPDDPM_DRILL_INSTALL=1 installs the four if they are missing; without them,
without root or without submitit the drill is skipped and says so. It takes some minutes, most of which SLURM waits.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dipddpm_utils import config
from dipddpm_utils.store.runs import CHECKOUT, Store
from dipddpm_utils.study import profile as profiles
from dipddpm_utils.training import checkpoint

pytestmark = [pytest.mark.drill, pytest.mark.filterwarnings("ignore::ResourceWarning")]
DAEMONS = ("munged", "slurmctld", "slurmd")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
CONF = """\
ClusterName=drill
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=120
JobFileAppend=1
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=9
"""
LONG = """
import sys
from pathlib import Path
from dipddpm_utils.config import parse
from dipddpm_utils.driver import cluster
from dipddpm_utils.driver.jobs import Place
from dipddpm_utils.machine import process
from dipddpm_utils.store.runs import Store
import json
process.steady()
runs = [parse(values) for values in json.loads(sys.argv[2])]
sys.exit(cluster.drive(Store(Path(sys.argv[1]), "smoke"), runs, Place("slurm", 2, int(sys.argv[3]))))
"""


class Cluster:
    """SLURM on this machine, and commands that use it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, socket.gethostname().split(".")[0]
        self.started, self.begun = [], []  # daemons, commands
        self.environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf"), "HOME": str(folder)}
        self.environment |= {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}

    def start(self) -> None:
        for name in ("munge", "state", "spool"):
            (self.folder / name).mkdir(mode=0o755)
        key, munge = self.folder / "munge.key", self.folder / "munge"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        ports = []
        for _ in range(2):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                ports.append(free.getsockname()[1])
        (self.folder / "slurm.conf").write_text(CONF.format(host=self.host, ports=ports, folder=self.folder))
        places = [f"--{name}-file={munge}/{name}" for name in ("pid", "log", "seed")]
        for command in (
            ["munged", "--foreground", "--force", f"--socket={munge}/socket", f"--key-file={key}", *places],
            ["slurmctld", "-D", "-i"],
            ["slurmd", "-D", "-N", self.host],
        ):
            log = (self.folder / f"{command[0]}.out").open("w")
            self.started.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, start_new_session=True))
            if command[0] == "munged":
                until(lambda: (munge / "socket").exists())
        until(lambda: "idle" in self.tell("sinfo", "-h", "-o", "%T"), 60)

    def stop(self) -> None:
        self.tell("scancel", "--full", "--user=root")
        for process in reversed(self.started):
            process.terminate()
            process.wait(timeout=60)

    def tell(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        return (done.stdout + done.stderr).strip()

    def queue(self) -> dict[str, str]:
        """State by job id."""
        return dict(line.split() for line in self.tell("squeue", "-h", "-o", "%i %T").splitlines())

    def training(self, results: Path) -> str:
        """The id of the first job here, once it computes."""
        log = until(lambda: next((path for path in results.rglob("*_log.err") if "computing" in path.read_text()), None), 300)
        return log.name.partition("_")[0]

    def begin(self, command: list[str], **options) -> subprocess.Popen:
        """The command in a session of its own, so that a signal to it is none to pytest."""
        environment = {**self.environment, **options.pop("environment", {})}
        python = options.pop("python", sys.executable)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.begun.append(subprocess.Popen([python, *command], env=environment, cwd=CHECKOUT, **pipes, **options))
        return self.begun[-1]

    def long(self, results: Path, runs: list[config.Run], minutes: int = 2) -> subprocess.Popen:
        """A command for runs that no profile has, with jobs of so many minutes."""
        values = json.dumps([run.model_dump(mode="json") for run in runs])
        return self.begin(["-c", LONG, str(results), values, str(minutes)])


def until(true, seconds: float = 30):
    """What `true()` gives once it is something."""
    end = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < end, f"nothing within {seconds} s"
        time.sleep(0.3)
    return value


def smoke(results: Path, *names: str) -> list[str]:
    options = "--profile smoke --on slurm --jobs 2 --results".split()
    return ["-m", "dipddpm_utils", "run", *names, *options, str(results)]


def ended(process: subprocess.Popen, code: int, seconds: float = 600) -> str:
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == code, said
    return said


def training(steps: int, seed: int = 0) -> config.Ddpm:
    """A tiny model, trained for as long as a test needs it."""
    run = profiles.load("smoke").entry("ddpm-s0").run
    optim = run.optim.model_copy(update={"steps": steps})
    unet = run.unet.model_copy(update={"width": 8, "blocks": 1})
    return run.model_copy(update={"optim": optim, "unet": unet, "seed": seed})


@pytest.fixture(scope="module")
def slurm():
    pytest.importorskip("submitit", reason="the SLURM drill needs the package submitit")
    missing = [name for name in (*DAEMONS, "sbatch") if shutil.which(name, path=PATH) is None]
    if os.geteuid() != 0:
        pytest.skip("the SLURM drill needs root, to start its daemons")
    if missing and os.environ.get("DIPDDPM_DRILL_INSTALL") == "1":
        for command in (
            "apt-get update -qq",
            "apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge",
        ):
            subprocess.run(command.split(), check=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    elif missing:
        pytest.skip(f"the SLURM drill needs {', '.join(missing)}: DIPDDPM_DRILL_INSTALL=1 installs them on Debian or Ubuntu")
    folder = Path(subprocess.run(["mktemp", "-d", "/tmp/slurm-drill-XXXXXX"], capture_output=True, text=True).stdout.strip())
    folder.chmod(0o755)
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def empty_queue(slurm):
    yield
    while slurm.begun:  # of a test that failed: it would go on submitting
        slurm.begun.pop().kill()
    slurm.tell("scontrol", "update", f"NodeName={slurm.host}", "State=RESUME")
    slurm.tell("scancel", *slurm.queue())
    until(lambda: not slurm.queue(), 60)


def test_runs_are_computed_after_those_they_are_built_on_and_no_job_is_left(slurm, tmp_path):
    said = ended(slurm.begin(smoke(tmp_path, "starts-dip-300-s0", "ddpm-on-dip-s0", "floor-s0")), 0)
    assert re.search(r"(\d) of \1 runs computed", said)
    store = Store(tmp_path, "smoke")
    times = {}
    for name in ("dip-2conv-s0", "ddpm-s0", "ddpm-on-dip-s0", "starts-dip-300-s0", "floor-s0"):
        record = store.load(store.profile.entry(name).run)
        times[name] = (record.provenance["start"], record.completed)
    assert times["dip-2conv-s0"][1] <= times["ddpm-on-dip-s0"][0]
    assert max(times["dip-2conv-s0"][1], times["ddpm-s0"][1]) <= times["starts-dip-300-s0"][0]
    assert not slurm.queue() and not list((tmp_path / "smoke" / "cluster").glob("*_*"))
    assert "0 runs to compute" in ended(slurm.begin(smoke(tmp_path, "starts-dip-300-s0")), 0)


@pytest.mark.parametrize("how", ["scancel", "kill -9"])
def test_a_killed_job_is_said_and_the_same_command_goes_on(slurm, tmp_path, how):
    run = training(400)
    command = slurm.long(tmp_path, [run])
    job = slurm.training(tmp_path)
    if how == "scancel":
        slurm.tell("scancel", job)
    else:
        inside = [pid for pid in slurm.tell("pgrep", "-f", "submitit.core._submit").split() if _job_of(pid) == job]
        assert inside
        slurm.tell("kill", "-9", *inside)
    said = ended(command, 1)
    assert "1 of 1 runs failed" in said and str(tmp_path / "smoke" / "cluster") in said
    if how == "scancel":
        assert "the job was cancelled; everything is saved" in said
        assert Store(tmp_path, "smoke").state(run) == "partial"
    ended(slurm.long(tmp_path, [run]), 0)
    assert Store(tmp_path, "smoke").state(run) == "complete"


def _job_of(pid: str) -> str | None:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((line.partition("=")[2] for line in variables if line.startswith("SLURM_JOB_ID=")), None)


def test_ctrl_c_leaves_jobs_and_the_same_command_finds_them_while_a_node_is_drained(slurm, tmp_path):
    runs = [training(200, seed) for seed in range(3)]  # two run, the third waits
    first = slurm.long(tmp_path, runs, 60)
    slurm.training(tmp_path)
    jobs = until(lambda: [*slurm.queue().values()] == ["RUNNING"] * 2 and set(slurm.queue()))  # a drained node begins none
    slurm.tell("scontrol", "update", f"NodeName={slurm.host}", "State=DRAIN", "Reason=drill")
    first.send_signal(signal.SIGINT)
    assert "2 jobs go on without this command" in ended(first, 130, 60)
    again = slurm.long(tmp_path, runs, 60)
    until(lambda: len(jobs | set(slurm.queue())) == 3, 600)  # the two are not submitted again, the third is
    until(lambda: set(slurm.queue().values()) == {"PENDING"}, 600)
    assert sum(Store(tmp_path, "smoke").state(run) == "complete" for run in runs) == 2
    again.send_signal(signal.SIGTERM)
    assert "1 jobs go on without this command" in ended(again, 143, 60)
    last = slurm.long(tmp_path, runs, 60)
    slurm.tell("scontrol", "update", f"NodeName={slurm.host}", "State=RESUME")
    ended(last, 0)
    assert all(Store(tmp_path, "smoke").state(run) == "complete" for run in runs)


def test_two_users_with_one_results_folder_submit_no_run_twice(slurm):
    """The users daemon and bin, which every Linux has; without a umask, as in a group that shares a folder."""
    results = slurm.folder / "shared"
    results.mkdir()
    results.chmod(0o777)
    paths = os.pathsep.join([str(CHECKOUT), *(path for path in sys.path if path.endswith("site-packages"))])
    environment = {"PYTHONPATH": paths, "HOME": str(results), "DIPDDPM_CACHE": str(results / "cache")}
    python = _everyones_python(environment)
    names = ("dip-2conv-s0", "ddpm-on-dip-s0", "floor-s0")
    commands = [
        slurm.begin(
            smoke(results, *names), python=python, environment=environment, user=user, group=user, extra_groups=[], umask=0
        )
        for user in ("daemon", "bin")
    ]
    for command in commands:
        ended(command, 0)
    store = Store(results, "smoke")
    assert all(store.state(store.profile.entry(name).run) == "complete" for name in names)
    ours = [line for line in slurm.tell("scontrol", "--oneliner", "show", "jobs").splitlines() if str(results) in line]
    runs = [re.search(r"JobName=(\S+)", line)[1] for line in ours]
    assert len(runs) == len(set(runs)) == len(list((results / "smoke" / "runs").iterdir()))
    assert {re.search(r"UserId=(\w+)", line)[1] for line in ours} <= {"daemon", "bin"}


def _everyones_python(environment: dict[str, str]) -> str:
    """This Python, or the system's of the same version where this one lies in root's home."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            done = subprocess.run([python, "-c", "import pydantic, submitit"], env=environment, cwd=CHECKOUT, user="daemon")
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip("the drill with two users needs a Python and a checkout that others than root can read")


def step(work: Path) -> int:
    """That of the newest checkpoint, 0 without one."""
    kept = checkpoint.load(work)
    return kept[0]["step"] if kept else 0


def goes_on(slurm: Cluster, results: Path, minutes: int, disturb) -> None:
    """A job that its time limit or `disturb(its work folder)` ends saves, is queued again by itself, and goes on from there."""
    run = training(1_000_000)
    work = Store(results, "smoke").folder(run) / "work"
    command = slurm.long(results, [run], minutes)
    job = slurm.training(results)
    disturb(work)
    until(lambda: "Restarts=1" in slurm.tell("scontrol", "show", "job", job), 300)
    until(lambda: slurm.queue()[job] != "COMPLETING", 150)
    reached = step(work)
    logs = "".join(path.read_text() for path in (results / "smoke" / "cluster").glob(f"{job}_0_log.*"))
    assert reached > 0 and ("Calling checkpoint method" in logs or "everything is saved" in logs), logs
    until(lambda: step(work) > reached, 300)
    assert set(slurm.queue()) == {job} and command.poll() is None
    command.send_signal(signal.SIGINT)
    ended(command, 130, 60)


def test_a_time_limit_ends_a_job_cleanly_and_it_is_queued_again_and_goes_on(slurm, tmp_path):
    goes_on(slurm, tmp_path, 3, lambda work: None)


def test_a_job_makes_room_for_a_more_urgent_one_and_goes_on_after_it(slurm, tmp_path):
    def more_urgent(work):
        until(lambda: step(work) > 0, 300)
        slurm.tell("sbatch", "--partition=urgent", "--ntasks=2", "--output=/dev/null", "--wrap=sleep 5")

    goes_on(slurm, tmp_path, 60, more_urgent)
