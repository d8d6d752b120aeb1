"""Runs the notebooks in order with papermill, counts what they computed and what they took from records, builds the page.

A notebook's kernel is told everything but its parameters through its environment:
    DIPDDPM_RESULTS       folder of results (else results/ of the checkout)
    DIPDDPM_DEVICE        auto, cpu, cuda, mps
    DIPDDPM_DEADLINE      unix seconds at which every computation saves and ends
    DIPDDPM_STOP          a file whose existence asks for the same, now
    DIPDDPM_FRESH         the profile whose records are computed anew if they are older than this round
    DIPDDPM_RECORDS_ONLY  1: nothing is computed
    DIPDDPM_EVENTS        a file that gets one JSON line for each run that is used: run, action, seconds
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from dipddpm_utils.driver import nbfiles
from dipddpm_utils.driver.nbfiles import Source
from dipddpm_utils.machine import files
from dipddpm_utils.machine.errors import DipddpmError, OutOfTime
from dipddpm_utils.machine.interrupt import EXIT_CODE, CleanStop
from dipddpm_utils.store.runs import CHECKOUT, Store
from dipddpm_utils.study import profile as profiles


@dataclass
class Job:
    """What is asked for: a profile, its results, which notebooks, with which parameters, and under which limits."""

    profile: str
    results: Path
    folder: Path = nbfiles.FOLDER
    only: str = ""
    fresh: bool = False
    max_minutes: float | None = None
    device: str = "auto"
    parameters: dict[str, str] = field(default_factory=dict)
    records_only: bool = False

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


def drive(job: Job) -> int:
    """Run the job's notebooks and build its page; returns the exit code (0, 1, 75 or 130). UsageError before anything runs."""
    sources = nbfiles.find(job.folder, job.only)
    values = nbfiles.checked(sources, job.parameters)
    store = Store(job.results, job.profile, fresh=job.fresh, records_only=job.records_only)
    if job.records_only:
        store.refuse_losses()
    time_there(job.root)  # a read-only folder is said now, not in an hour
    complete = say_what_is_there(store)
    with CleanStop() as stop:
        runner = Runner(job, values, stop)
        # where nothing has to be computed, two notebooks at a time: their kernels mostly wait for imports
        results = runner.run(sources, at_a_time=min(2, os.cpu_count() or 1) if complete or job.records_only else 1)
        print_table(results)
        return finish(job, store, results, stop.asked)


def say_what_is_there(store: Store) -> bool:
    """Say how much of the profile is computed already; true if all of it is."""
    states = [store.state(entry.run) for entry in store.profile.entries.values()]
    done = states.count("complete")
    hint = " (--fresh computes everything anew)" if done and store.round is None else ""
    print(f"profile {store.profile.name}: {done} of {len(states)} runs have records in {shown(store.source)}{hint}", flush=True)
    return done == len(states)


def finish(job: Job, store: Store, results: list[Result], interrupted: bool) -> int:
    """The sentence after the table, the page, and the exit code."""
    computed, taken = sum(r.computed for r in results), sum(r.from_records for r in results)
    print(f"\n{_plural(computed, 'run')} computed, {taken} taken from records.")
    for result in results:
        if result.error:
            print(f"{result.state} {result.name}: {result.error}", file=sys.stderr)
    if interrupted:
        print("stopped by Ctrl-C; nothing is lost, and the same command goes on from there", file=sys.stderr)
        return EXIT_CODE
    if any(r.state == "STOPPED" for r in results):
        print("the time budget ran out; everything is saved, and the same command goes on from there", file=sys.stderr)
        return OutOfTime.exit_code
    page = build_page(job)
    print(f"report: {shown(page)}")
    if any(r.state == "FAIL" for r in results):
        return 1
    store.publish()
    if store.round is not None:
        store.end_fresh()
    return 0


def build_page(job: Job) -> Path:
    """`report.html` from all executed notebooks of the profile, also those of earlier commands."""
    from dipddpm_utils.page import html

    sources = nbfiles.find(job.folder)
    page = html.build([(s.title, job.root / "notebooks" / s.path.name) for s in sources], job.profile, job.folder)
    for problem in page.problems:
        print(f"report.html: {problem}", file=sys.stderr)
    return files.write_text(job.root / "report.html", page.text)


class Runner:
    """Executes notebooks, each in a fresh kernel of the running interpreter."""

    def __init__(self, job: Job, values: dict[str, Any], stop: CleanStop) -> None:
        self.job, self.values, self.stop = job, values, stop
        self.work = stop.folder
        self.deadline = None if job.max_minutes is None else time.time() + 60 * job.max_minutes
        self.out_of_time = threading.Event()

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
        if self.stop.asked or self.out_of_time.is_set():
            return result
        print(f"{source.name} ...", flush=True)
        began, since = time.perf_counter(), time_there(self.job.root)
        events = self.work / f"{source.name}.jsonl"
        executed = self.work / f"{source.name}.executed.ipynb"
        kept = self.job.root / "notebooks" / source.path.name
        failed = kept.with_suffix(".failed.ipynb")
        try:
            self.execute(source, executed, events)
            files.write_text(kept, cleaned(executed, source))
            failed.unlink(missing_ok=True)
            result.state = "OK"
        except Exception as error:
            result.state, result.error = self.explain(error)
            if result.state == "FAIL" and executed.exists():
                result.error += _keep_failed(failed, executed, source)
        if result.state == "OK":
            drop_undrawn(self.job.root, source.number, since)
        result.seconds = time.perf_counter() - began
        result.computed, result.from_records = count(events)
        seen = f"{result.computed} computed, {result.from_records} from records"
        print(f"{source.name} {result.state} in {result.seconds:.1f} s ({seen})", flush=True)
        return result

    def execute(self, source: Source, executed: Path, events: Path) -> None:
        """Run a notebook with papermill and write the executed copy to `executed`, also if a cell fails (which raises)."""
        execute_notebook = _papermill()
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
        _refuse_early_exit(notebook)

    def kernel(self, source: Source, events: Path) -> str:
        """Write a kernelspec for this notebook: this interpreter, our environment, no history, no start-up files."""
        name = f"dipddpm-{source.number or source.name}".lower()
        environment = {
            "DIPDDPM_RESULTS": str(self.job.results),
            "DIPDDPM_DEVICE": self.job.device,
            "DIPDDPM_STOP": str(self.stop.stop),
            "DIPDDPM_DEADLINE": "" if self.deadline is None else str(self.deadline),
            "DIPDDPM_FRESH": self.job.profile if self.job.fresh else "",
            "DIPDDPM_RECORDS_ONLY": "1" if self.job.records_only else "",
            "DIPDDPM_EVENTS": str(events),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")])),
            "IPYTHONDIR": str(self.work / "ipython"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        options = ["--HistoryManager.enabled=False", "--IPKernelApp.log_level=40"]  # errors only
        spec = {
            "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", *options],
            "display_name": name,
            "language": "python",
            "env": environment,
        }
        files.write_json(self.work / "jupyter" / "kernels" / name / "kernel.json", spec)
        return name

    def explain(self, error: Exception) -> tuple[str, str]:
        """The state and one line for an error that ended a notebook."""
        name = getattr(error, "ename", type(error).__name__)
        text = str(getattr(error, "evalue", error)).strip()
        line = text.splitlines()[0] if text else ""
        if name == "OutOfTime":
            self.out_of_time.set()
            return "STOPPED", ""
        if name == "DeadKernelError":
            return "FAIL", "its kernel died, most likely because the memory ran out; the records it completed are kept"
        if isinstance(error, DipddpmError):
            return "FAIL", str(error)
        where = f" (in cell {error.exec_count}{_failing_line(error)})" if hasattr(error, "exec_count") else ""
        return "FAIL", f"{name}: {line}{where}"


def time_there(root: Path) -> float:
    """The time by the clock of the results' file system, which need not be this machine's. StoreError: it is read-only."""
    mark = files.write_text(root / "notebooks" / f".{uuid.uuid4().hex}", "")
    now = mark.stat().st_mtime
    mark.unlink()
    return now


def drop_undrawn(root: Path, number: str, since: float) -> None:
    """Delete the figures and tables of a notebook (`<number>_...`) that it no longer made when it ran from `since` on."""
    for path in [*root.glob(f"figures/{number}_*"), *root.glob(f"tables/{number}_*")]:
        if path.stat().st_mtime < since - 1:  # file systems round
            path.unlink(missing_ok=True)


class Relay:
    """Passes a kernel's stderr on to ours while it runs: what is being computed, how far it is, warnings."""

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                print(f"    {line}", file=sys.stderr, flush=True)

    def flush(self) -> None: ...


def count(events: Path) -> tuple[int, int]:
    """How many runs a notebook computed and how many it took from records, each run once."""
    try:
        lines = [json.loads(line) for line in events.read_text().splitlines()]
    except FileNotFoundError:
        return 0, 0
    computed = {line["run"] for line in lines if line["action"] == "computed"}
    return len(computed), len({line["run"] for line in lines} - computed)


def cleaned(executed: Path, source: Source) -> str:
    """An executed notebook without what differs from machine to machine: times, paths, random ids, progress lines."""
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    about = notebook["metadata"]
    about["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about["papermill"] = {"parameters": about.get("papermill", {}).get("parameters", {})}
    about.pop("widgets", None)
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        if "injected-parameters" in cell["metadata"].get("tags", []):
            cell["id"] = "injected-parameters"
        if cell["cell_type"] == "code":
            cell["outputs"] = [_without_paths(output) for output in cell["outputs"] if not _is_progress(output)]
    return json.dumps(notebook, indent=1, ensure_ascii=False)


def shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def print_table(results: list[Result]) -> None:
    """One line for each notebook."""
    width = max(len("notebook"), *(len(r.name) for r in results))
    print(f"\n{'notebook':{width}}  {'result':7}  {'seconds':>8}  {'computed':>8}  {'from records':>12}")
    for r in results:
        print(f"{r.name:{width}}  {r.state:7}  {r.seconds:8.1f}  {r.computed:8}  {r.from_records:12}")


def default_profile() -> str:
    """'full' where torch can use a CUDA GPU, else 'quick'. torch is loaded only where there is an NVIDIA GPU."""
    from dipddpm_utils.machine import device as machine_device

    return "full" if machine_device.nvidia_gpus() and machine_device.pick_device("auto").type == "cuda" else "quick"


def _papermill() -> Any:
    # jsonschema tries this package for a format that notebooks do not use; its import builds a grammar for two seconds
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    from papermill import execute_notebook

    return execute_notebook


def _refuse_early_exit(notebook: Any) -> None:
    """sys.exit(0) in a cell ends the kernel's work, and papermill calls that a success; here it is not one."""
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                raise RuntimeError(f"cell {number} ended the notebook early with {output.ename}")


def _keep_failed(failed: Path, executed: Path, source: Source) -> str:
    try:
        files.write_text(failed, cleaned(executed, source))
    except DipddpmError:
        return ""
    return f"; see {shown(failed)}"


def _is_progress(output: dict[str, Any]) -> bool:
    """stderr without a warning: progress, which was shown while it ran."""
    return output.get("name") == "stderr" and "Warning" not in "".join(output["text"])


def _without_paths(value: Any) -> Any:
    """The same output with this machine's folders left out of its texts."""
    if isinstance(value, dict):
        return {key: item if key.startswith("image/") else _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    if not isinstance(value, str):
        return value
    for folder, instead in ((Path(sys.prefix), "environment"), (CHECKOUT, "."), (Path.home(), "~")):
        if folder != Path(folder.anchor):
            value = re.sub(re.escape(str(folder)) + r"(?=[/\\\"'\s:]|$)", instead, value)
    return value


def _failing_line(error: Any) -> str:
    """The line of the cell that an IPython traceback points at, or nothing if it cannot be told."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    found = re.search(r"^-+> *\d+ +(.+)$", text, flags=re.MULTILINE)
    return f": {found[1].strip()[:80]}" if found else ""


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
