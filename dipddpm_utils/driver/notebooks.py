"""Runs the notebooks in order with papermill, each in a fresh kernel, counts what they computed, and builds the page."""

import errno
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from dipddpm_utils.driver import nbfiles
from dipddpm_utils.driver.nbfiles import CHECKOUT, Source
from dipddpm_utils.machine import device as machine_device
from dipddpm_utils.machine import files
from dipddpm_utils.machine.budget import Budget
from dipddpm_utils.machine.errors import DipddpmError, OutOfTime, StoreError
from dipddpm_utils.machine.process import CleanStop
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study import profile as profiles

# -P, and the checkout last: a user's random.py beside the notebooks must not be taken for the standard library's
LAUNCH = f"import sys; sys.path.append({str(CHECKOUT)!r}); from ipykernel import kernelapp; kernelapp.launch_new_instance()"


@dataclass
class Job:
    """What is asked for: a profile, its results, which notebooks, with which parameters, and under which limits."""

    profile: str
    results: Path
    folder: Path = nbfiles.FOLDER
    only: str | None = None
    fresh: bool = False
    max_minutes: float | None = None
    device: str = "auto"
    parameters: dict[str, str] = field(default_factory=dict)
    records_only: bool = False
    front: Callable[[Path, str], tuple[str, str]] | None = None  # (results, profile) -> what `html.build` takes, Markdown

    @property
    def root(self) -> Path:
        return self.results / profiles.load(self.profile).folder


@dataclass
class Result:
    """How one notebook went. state: OK, FAIL, STOPPED (saved, goes on) or - (not begun)."""

    name: str
    state: str = "-"
    seconds: float = 0.0
    computed: int = 0
    from_records: int = 0
    error: str = ""


class Runner:
    """Executes notebooks, each in a fresh kernel of the running interpreter."""

    def __init__(self, job: Job, values: dict[str, Any], stop: CleanStop) -> None:
        self.job, self.values, self.stop = job, values, stop
        self.work = stop.folder
        self.budget = Budget(None if job.max_minutes is None else time.time() + 60 * job.max_minutes, stop.stop)

    def run(self, sources: list[Source], at_a_time: int = 1) -> list[Result]:
        """All notebooks, in order; a failed one does not keep the others from running."""
        # Kernelspecs are looked for in our own folder first, and connection files go there too, not into the user's.
        ours = {"JUPYTER_PATH": str(self.work / "jupyter"), "JUPYTER_RUNTIME_DIR": str(self.work / "runtime")}
        # In threads, because nbclient would otherwise replace our handler of Ctrl-C by one that kills the kernel.
        with mock.patch.dict(os.environ, ours), ThreadPoolExecutor(max_workers=at_a_time) as pool:
            waiting = [pool.submit(self.one, source) for source in sources]
            return [future.result() for future in waiting]

    def one(self, source: Source) -> Result:
        """One notebook. Its executed copy takes the old one's place only if it went well."""
        result = Result(source.name)
        if self.stop.asked or self.budget.expired():
            return result
        print(f"{source.name} ...", flush=True)
        began = time.perf_counter()
        events = self.work / f"{source.name}.jsonl"
        executed = self.work / f"{source.name}.executed.ipynb"
        kept = self.job.root / "notebooks" / source.path.name
        failed = kept.with_suffix(".failed.ipynb")
        try:
            before = drawn(self.job.root, source.number)
            self.execute(source, executed, events)
            files.write_text(kept, nbfiles.cleaned(executed))
            failed.unlink(missing_ok=True)
            for path, *_ in before & drawn(self.job.root, source.number):  # it draws them no longer
                path.unlink(missing_ok=True)
            result.state = "OK"
        except Exception as error:
            result.state, result.error = self.explain(error)
            if result.state == "FAIL":
                with suppress(StoreError):  # a full disk: what it had come to cannot be kept
                    files.write_text(failed, nbfiles.cleaned(executed))
                    result.error += f"; see {shown(failed)}"
        executed.unlink(missing_ok=True)  # the temporary folder may be small
        result.seconds = time.perf_counter() - began
        result.computed, result.from_records = nbfiles.count(events)
        seen = f"{result.computed} computed, {result.from_records} from records"
        print(f"{source.name} {result.state} in {result.seconds:.1f} s ({seen})", flush=True)
        return result

    def execute(self, source: Source, executed: Path, events: Path) -> None:
        """Run a notebook with papermill and write the executed copy to `executed`, also if a cell fails (which raises)."""
        from papermill import execute_notebook

        copy = self.work / source.path.name  # papermill reads braces in a path as a template; the temporary folder has none
        shutil.copyfile(source.path, copy)
        parameters = {"profile": self.job.profile, **self.values}
        notebook = execute_notebook(
            copy,
            executed,
            parameters={name: value for name, value in parameters.items() if name in source.parameters},
            kernel_name=self.kernel(source, events),
            language="python",
            progress_bar=False,
            request_save_on_cell_execute=False,
            record_timing=False,
            shutdown_kernel="immediate",
            stderr_file=Relay(),
            resources={"metadata": {"path": str(source.path.parent)}},  # papermill's own cwd would move this whole process
        )
        for number, cell in enumerate(notebook.cells, 1):  # sys.exit(0) ends the kernel's work; papermill calls that a success
            for output in cell.get("outputs", ()):
                if output.output_type == "error":
                    raise RuntimeError(f"cell {number} ended the notebook early with {output.ename}")

    def kernel(self, source: Source, events: Path) -> str:
        """Write a kernelspec for this notebook: this interpreter, our environment, no history, no start-up files."""
        name = f"dipddpm-{source.number}"
        search = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        environment = {
            "DIPDDPM_RESULTS": str(self.job.results),
            "DIPDDPM_DEVICE": self.job.device,
            **self.budget.to_env(),  # then every computation saves and ends
            "DIPDDPM_FRESH": self.job.profile if self.job.fresh else "",  # whose records of before this round are computed anew
            "DIPDDPM_RECORDS_ONLY": "1" if self.job.records_only else "",
            "DIPDDPM_EVENTS": str(events),  # gets a line of JSON for each run that is used
            "PYTHONPATH": os.pathsep.join(place for place in search if place and Path(place).resolve() != CHECKOUT),
            "IPYTHONDIR": str(self.work / "ipython"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        options = ["--HistoryManager.enabled=False", "--IPKernelApp.log_level=40"]  # errors only
        launch = [sys.executable, "-P", "-c", LAUNCH, "-f", "{connection_file}", *options]
        spec = {"argv": launch, "display_name": name, "language": "python", "env": environment}
        files.write_json(self.work / "jupyter" / "kernels" / name / "kernel.json", spec)
        return name

    def explain(self, error: Exception) -> tuple[str, str]:
        """The state and one line for an error that ended a notebook."""
        name = getattr(error, "ename", type(error).__name__)
        if name == "OutOfTime":
            return "STOPPED", ""
        if name == "DeadKernelError":
            return "FAIL", "its kernel died, most likely because the memory ran out; the records it completed are kept"
        if isinstance(error, DipddpmError):
            return "FAIL", str(error)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return "FAIL", f"the temporary folder {self.work.parent} is full: free some space, or set TMPDIR to another one"
        said = f"{name}: {str(getattr(error, 'evalue', error)).strip()}".splitlines()[0]
        if hasattr(error, "exec_count"):
            text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
            found = re.search(r"^-+> *\d+ +(.+)$", text, flags=re.MULTILINE)  # the line that IPython's traceback points at
            said += f" (in cell {error.exec_count}{f': {found[1].strip()[:80]}' if found else ''})"
        return "FAIL", said


def drawn(root: Path, number: str) -> set[tuple[Path, int, int]]:
    """The figures and tables of a notebook (`<number>_...`); one that is drawn anew is another file of another time."""
    paths = [path for kind in ("figures", "tables") for path in root.glob(f"{kind}/{number}_*")]
    return {(path, path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


class Relay:
    """Passes a kernel's stderr on to ours while it runs: what is being computed, how far it is, warnings."""

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                print(f"    {line}", file=sys.stderr, flush=True)

    def flush(self) -> None: ...


def shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


# --- the command ------------------------------------------------------------------------------------------------------


def drive(job: Job) -> int:
    """Run the job's notebooks and build its page; returns the exit code (0, 1, 75 or 130). UsageError before anything runs."""
    sources = nbfiles.find(job.folder, job.only)
    values = nbfiles.checked(sources, job.parameters)
    fresh = f"notebooks{f' --only {job.only}' if job.only else ''}" if job.fresh else ""
    store = Store(job.results, job.profile, fresh=fresh, records_only=job.records_only)
    if job.records_only:
        store.refuse_losses()
    complete = say_what_is_there(store)
    if job.records_only and not any(store.state(entry.run) == "complete" for entry in store.profile.entries.values()):
        only = f" --only {job.only}" if job.only else ""
        raise StoreError(f"there is nothing to draw: compute it with `{store.command(f'notebooks{only}')}`")
    files.check_writable(job.root / "notebooks")  # a read-only folder is said now, not in an hour
    with CleanStop() as stop:
        # where nothing has to be computed, two notebooks at a time: their kernels mostly wait for imports
        at_a_time = min(2, machine_device.cores()) if complete or job.records_only else 1
        results = Runner(job, values, stop).run(sources, at_a_time)
        return finish(job, store, results, stop)


def say_what_is_there(store: Store) -> bool:
    """Say how much of the profile is computed already; true if all of it is."""
    states = [store.state(entry.run) for entry in store.profile.entries.values()]
    done = states.count("complete")
    hint = " (--fresh computes everything anew)" if done and store.round is None and not store.records_only else ""
    print(f"profile {store.profile.name}: {done} of {len(states)} runs have records in {shown(store.source)}{hint}", flush=True)
    return done == len(states)


def finish(job: Job, store: Store, results: list[Result], stop: CleanStop) -> int:
    """The table of how it went and a sentence after it, the page, and the exit code."""
    width = max(len("notebook"), *(len(r.name) for r in results))
    print(f"\n{'notebook':{width}}  {'result':7}  {'seconds':>8}  {'computed':>8}  {'from records':>12}")
    for r in results:
        print(f"{r.name:{width}}  {r.state:7}  {r.seconds:8.1f}  {r.computed:8}  {r.from_records:12}")
    computed, taken = sum(r.computed for r in results), sum(r.from_records for r in results)
    print(f"\n{computed} run{'' if computed == 1 else 's'} computed, {taken} taken from records.")
    for result in results:
        if result.error:
            print(f"{result.state} {result.name}: {result.error}", file=sys.stderr)
    if stop.asked or any(r.state in ("STOPPED", "-") for r in results):  # the second: its turn did not come
        why = "a stop was asked for" if stop.asked else "the time budget ran out"
        print(f"{why}; nothing is lost, and the same command goes on from there", file=sys.stderr)
        return stop.asked or OutOfTime.exit_code
    page = build_page(job)
    print(f"report: {shown(page)}")
    if any(r.state == "FAIL" for r in results):
        return 1
    store.publish()
    store.end_fresh()
    return 0


def build_page(job: Job) -> Path:
    """`report.html` from all executed notebooks of the profile, also those of earlier commands."""
    from dipddpm_utils.page import html

    drawn = [(s.title, job.root / "notebooks" / s.path.name) for s in nbfiles.find(job.folder)]
    page = html.build(drawn, *(job.front(job.results, job.profile) if job.front else ()))
    for problem in page.problems:
        print(f"report.html: {problem}", file=sys.stderr)
    return files.write_text(job.root / "report.html", page.text)


def default_profile() -> str:
    """'full' where torch can use a CUDA GPU, else 'quick'. torch is loaded only where there is an NVIDIA GPU."""
    return "full" if machine_device.nvidia_gpus() and machine_device.pick_device("auto").type == "cuda" else "quick"
