"""One run as a job, and the two places where jobs are: a SLURM cluster, and processes of this machine; both by `submitit`.

A job calls the store as a command does: the same records, checkpoints and locks. A cluster's job is named by its run and its
results folder; by that name any command finds it in the queue, whoever submitted it, and no list of jobs has to be kept.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
from contextlib import AbstractContextManager, redirect_stderr, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from dipddpm_utils.config import Run
from dipddpm_utils.machine import device as machine_device
from dipddpm_utils.machine import files, locks
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import DipddpmError, OutOfTime, UsageError
from dipddpm_utils.machine.process import SIGNALS
from dipddpm_utils.store.runs import CHECKOUT, Store

LIMIT = {"slurm": "2h", "local": "8760h"}  # of a job; what takes longer is saved and queued again
TERMINAL = SIGNALS - {signal.SIGTERM}  # the signals that a terminal sends to all that was begun in it
REQUEUES = 1000  # of a job by itself, when its time is over

# --- where: the options of the command ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where jobs run, how many at once, and what each may take: minutes, GPUs, a partition (the cluster's own if empty)."""

    on: str
    jobs: int
    minutes: int
    gpus: int = 0
    partition: str = ""


def place(
    device: str,
    on: str | None,
    workers: int | None,
    jobs: int | None,
    partition: str | None,
    limit: str | None,
    gpus: int | None,
) -> Place | None:
    """Where the options want the runs to be computed, None for this very process. UsageError if they do not go together.

    As many at once as there are cores; on a GPU one, unless more are asked for, since its memory may be too small for more.
    """
    asked = {"--jobs": jobs, "--partition": partition, "--gpus": gpus, "--time": limit}
    given = [name for name, value in asked.items() if value]
    if workers and (on or jobs):
        raise UsageError("--workers N is short for --on local --jobs N: give one or the other")
    on, jobs = ("local", workers) if workers else (on, jobs)
    if on is None:
        if given:
            raise UsageError(f"{given[0]} needs a place: give --on slurm or --on local with it")
        return None
    if on == "local" and (partition or gpus):
        raise UsageError("--partition and --gpus are for --on slurm: on this machine a job uses the GPU that is there")
    minutes = time_limit(limit or LIMIT[on])
    if importlib.util.find_spec("submitit") is None:
        raise UsageError("--on and --workers need the package submitit: python -m pip install submitit")
    if on == "slurm" and shutil.which("sbatch") is None:
        raise UsageError("no SLURM here (no sbatch on PATH): go where jobs can be submitted, or use --on local")
    if not jobs:
        on_cpu = on == "local" and machine_device.pick_device(device).type == "cpu"
        jobs = 8 if on == "slurm" else machine_device.cores() if on_cpu else 1
    return Place(on, jobs, minutes, gpus or 0, partition or "")


def time_limit(text: str) -> int:
    """Minutes of '2h', '90m' or '1h30m'; UsageError for anything else or less than two."""
    found = re.fullmatch(r"(?:([0-9]+)h)?(?:([0-9]+)m)?", text)
    minutes = 60 * int(found[1] or 0) + int(found[2] or 0) if found else 0
    if minutes < 2:
        raise UsageError(f"--time is {text!r}, expected two minutes or more as 2h, 90m or 1h30m")
    return minutes


# --- what a job does, and the places where jobs are ---------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What a job does: it computes one run; told to stop, it saves and is queued again."""

    run: Run
    results: Path
    profile: str
    device: str
    fresh: str
    deadline: float | None = None  # unix seconds
    stop: Path | None = None  # a file that asks it to save and end
    gpus: str | None = None  # CUDA_VISIBLE_DEVICES of the command, which submitit hides from its processes here

    def __call__(self) -> None:
        import submitit

        job = os.environ["SLURM_JOB_ID"] if os.environ.get("SUBMITIT_EXECUTOR") == "slurm" else None
        if job is None:
            os.nice(19)
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
            os.environ.update({} if self.gpus is None else {"CUDA_VISIBLE_DEVICES": self.gpus})
        told: list[int] = []
        budget = Budget(self.deadline, self.stop)

        def end_now(number: int, _frame: Any) -> None:
            told.append(number)
            budget.deadline = 0.0

        time_is_over = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")
        queue_again = signal.getsignal(time_is_over)  # submitit's: it stores `checkpoint()`, requeues the job and exits
        for number in (time_is_over, signal.SIGTERM):
            signal.signal(number, end_now)
        store = Store(self.results, self.profile, device=self.device, budget=budget, fresh=self.fresh)
        try:
            store.ensure(self.run, weights=True)
        except OutOfTime:
            # SIGTERM comes to a job that was cancelled, and to one that has to make room: only that one is still running
            if signal.SIGTERM in told and not (job and "RUNNING" in _squeue("--jobs", job, "--format=%T").stdout):
                raise DipddpmError("the job was cancelled; everything is saved, and the same command goes on") from None
            if told:
                with suppress(OSError, subprocess.SubprocessError):  # where that is not allowed, the command submits another
                    queue_again(told[0], None)
            raise

    def checkpoint(self) -> Any:
        """What a job that is queued again does (submitit's protocol). Its progress lies in the run's folder, not here."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _squeue(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["squeue", "--noheader", *arguments], capture_output=True, text=True, check=False)


class Jobs:
    """Jobs that submitit runs, one thread each unless OMP_NUM_THREADS says otherwise."""

    lag, pause = 0.0, 0.5  # seconds: until what a job wrote is seen here, and between two looks at the jobs
    shared = False  # whether jobs share a GPU: they are timed by the clock on the wall there

    def __init__(self, store: Store, place: Place, budget: Budget) -> None:
        import submitit

        device = "cuda" if place.gpus and store.device == "auto" else store.device  # rather an error than days on a CPU
        where = (store.root.parent.absolute(), store.profile.name, device, store.fresh)
        self.about = (*where, budget.deadline, budget.stop, os.environ.get("CUDA_VISIBLE_DEVICES"))
        self.folder = store.root / "cluster"
        self.mark = "." + files.sha256_bytes(str(store.root.resolve()).encode())[:8]  # behind the name of a job
        self.jobs: dict[str, Any] = {}
        os.environ["PYTHONSAFEPATH"] = "1"  # a user's random.py where the command is given is not the standard library's
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
        threads = re.match(r"\d*", os.environ.setdefault("OMP_NUM_THREADS", "1"))[0]
        files.check_writable(self.folder)
        self.executor = submitit.AutoExecutor(self.folder, cluster=place.on, **{f"{place.on}_max_num_timeout": REQUEUES})
        self.executor.update_parameters(
            timeout_min=place.minutes,
            cpus_per_task=int(threads or 1),
            slurm_partition=place.partition or None,
            slurm_gpus_per_node=place.gpus or None,
            slurm_signal_delay_s=min(120, 15 * place.minutes),  # before the end of its time, for what has to be saved
            slurm_additional_parameters={"requeue": True},
        )

    def alone(self) -> AbstractContextManager:
        """While entered, no other command submits jobs for this results folder: none is submitted twice."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return locks.locked(self.folder / ".lock", "that is submitting jobs", lambda: None)

    def live(self) -> dict[str, tuple[str, str]]:
        """Job and state of each run that is queued or running, by the name of its folder."""
        return {name: (job.job_id, "running") for name, job in self.jobs.items() if not job.done()}

    def submit(self, name: str, run: Run) -> str:
        """Submit a run, return its job's id. Ctrl-C and a closed terminal wait for that, and reach no process begun here."""
        signal.pthread_sigmask(signal.SIG_BLOCK, TERMINAL)
        try:
            self.executor.update_parameters(name=name + self.mark)
            with redirect_stderr(StringIO()):  # what sbatch says is in the error as well
                self.jobs[name] = self.executor.submit(Task(run, *self.about))
        except RuntimeError as error:
            raise DipddpmError(f"{name} was refused: {error}; the jobs before it go on") from error
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL)
        return self.jobs[name].job_id

    def forget(self, job: str) -> None:
        """Remove the files of a job whose record is there; those of the others say what went wrong."""
        for path in self.folder.glob(f"{job}_*"):
            path.unlink(missing_ok=True)
        for link in self.folder.glob(".submission_file_*"):
            if not link.exists():
                link.unlink(missing_ok=True)

    def why(self, job: str) -> str:
        """The last words of a job that left no record."""
        log = self.folder / f"{job}_0_log.err"
        lines = log.read_text(errors="replace").split("\n")[-8:] if log.exists() else []
        errors = [line for line in lines if re.match(r"[\w.]*(Error|OutOfTime)\b", line)]
        last = ([line for line in lines if line.strip()] or ["none"])[-1]
        killed = f"no error, so it was killed, for want of memory or by hand; its last words: {last}"
        return f"{errors[-1] if errors else killed} (its job's log: {log})"


class Local(Jobs):
    """Jobs as processes of this machine, at the lowest priority."""

    def __init__(self, store: Store, place: Place, budget: Budget) -> None:
        super().__init__(store, place, budget)
        self.shared = machine_device.pick_device(store.device).type != "cpu"


class Slurm(Jobs):
    """Jobs of a cluster. What else it wants to be told (account, memory) it reads from SBATCH_ACCOUNT and its like."""

    lag, pause = 20.0, 15.0  # seconds: a shared file system may show a file that late; squeue is not to be called often
    seen: dict[str, tuple[str, str]] = {}

    def live(self) -> dict[str, tuple[str, str]]:
        """Job and state of each run that anyone has in the queue; what was seen before if SLURM does not answer."""
        done = _squeue("--format=%i|%T|%j")
        if done.returncode == 0:
            rows = (line.split("|", 2) for line in done.stdout.splitlines() if line.endswith(self.mark))
            self.seen = {name.removesuffix(self.mark): (job, state.lower()) for job, state, name in rows}
        return self.seen

    def submit(self, name: str, run: Run) -> str:
        """Submit a run, which is taken for queued until squeue answers."""
        job = super().submit(name, run)
        self.seen = {**self.seen, name: (job, "pending")}
        return job
