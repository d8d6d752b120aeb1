"""The command line: `python -m dipddpm_utils COMMAND`. Errors are one line; neither torch nor plots are imported in vain."""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from dipddpm_utils.driver import doctor

try:
    import click

    from dipddpm_utils.driver import cluster, colab, jobs, nbfiles, notebooks
    from dipddpm_utils.machine import device as machine_device
    from dipddpm_utils.machine import files, process
    from dipddpm_utils.machine.budget import Budget
    from dipddpm_utils.machine.errors import DeviceError, DipddpmError, OutOfTime, UsageError
    from dipddpm_utils.parts import PUBLISHED, Data
    from dipddpm_utils.store.runs import Store, results_folder
    from dipddpm_utils.study import profile as profiles
except ModuleNotFoundError as error:  # no environment yet: what is missing is the doctor's to say
    if (error.name or "").startswith("dipddpm_utils"):
        raise
    sys.exit(doctor.main() or "doctor" not in sys.argv)


def _known(_context: Any, _option: Any, value: str | None) -> str | None:
    """The profile of that name (UsageError if there is none); the folder of `quick:FOLDER` is made absolute for the kernels."""
    name, colon, folder = (value or "").partition(":")
    value = f"{name}:{files.expanded(folder).absolute()}" if folder else value
    return profiles.load(value).name if value else None


def _minutes(_context: Any, _option: Any, minutes: float | None) -> float | None:
    if minutes is not None and math.isnan(minutes):  # which is in every range
        raise click.BadParameter("nan is no number of minutes")
    return minutes


MANY = click.IntRange(min=1)
PROFILE = "smoke, quick, standard or full [quick; to compute with a CUDA GPU full]; NAME:FOLDER: of your images in FOLDER."
profile_option = click.option("--profile", metavar="NAME", callback=_known, help=PROFILE)
results_option = click.option("--results", default="", metavar="DIR", help="Where results are kept [the checkout's].")
device_option = click.option(
    "--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:N or mps."
)
minutes_option = click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    callback=_minutes,
    metavar="M",
    help="Stop cleanly after M minutes.",
)
fresh_option = click.option("--fresh", is_flag=True, help="Compute anew; an old record stays until its new one is complete.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Does a Deep Image Prior make a diffusion model faster or better? The commands behind the report."""


@cli.command("runs")
@profile_option
@results_option
@device_option
@click.option("--probe", is_flag=True, help="First time 20 training steps of each network that is left, and keep that.")
def list_runs(profile: str | None, results: str, device: str, probe: bool) -> int:
    """List every run a profile declares: state, seconds, size; FLOPs and hours of those that are left, and their sum."""
    from dipddpm_utils.priors import listed

    store = Store(results_folder(results), profile or "quick")
    lines, wrong = listed.listing(store, device, probe)
    click.echo("\n".join(lines))
    if not wrong:
        store.refuse_losses()
    for problem in wrong:
        click.echo(problem, err=True)
    return 1 if wrong else 0


@cli.command("run")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "everything", is_flag=True, help="Every run the profile declares, in order.")
@profile_option
@results_option
@minutes_option
@device_option
@fresh_option
@click.option("--workers", type=MANY, metavar="N", help="Short for --on local --jobs N.")
@click.option("--on", type=click.Choice(["slurm", "local"]), help="As jobs of a cluster, or processes of this machine.")
@click.option("--jobs", type=MANY, metavar="N", help="Jobs at once [slurm: 8, local: one a core, on a GPU one].")
@click.option("--partition", metavar="NAME", help="slurm: where to queue [the cluster's own choice].")
@click.option("--time", "limit", metavar="2h", help="Of each job; then it saves and is queued again [slurm: 2h].")
@click.option("--gpus", type=MANY, metavar="N", help="slurm: GPUs of each job [none].")
def compute(
    names: tuple[str, ...], everything: bool, profile: str | None, results: str, device: str, fresh: bool, **more: Any
) -> int:
    """Compute runs without Jupyter. NAME is a run (ddpm-s0) or a group (ddpm: all its seeds)."""
    if bool(names) == everything:
        raise UsageError("name the runs to compute, or give --all (`runs --profile P` lists them)")
    minutes, chosen = more.pop("max_minutes"), jobs.place(device, **more)
    if chosen is not None and chosen.on == "slurm" and minutes is not None:
        raise UsageError("--max-minutes is for this machine: with --on slurm give --time, the limit of each job")
    _check_device(device, here=chosen is None or chosen.on == "local")
    deadline = None if minutes is None else time.time() + 60 * minutes
    where = (results_folder(results), profile or notebooks.default_profile())
    entries, failed = _chosen(profiles.load(where[1]), names), []  # a misspelt name begins no fresh round
    asked = f"run {' '.join(sorted(names)) or '--all'}" if fresh else ""
    if chosen is not None:
        store = Store(*where, device=device, fresh=asked)
        return cluster.drive(store, [entry.run for entry in entries], chosen, deadline)
    with process.CleanStop() as stop, mock.patch.dict(os.environ, Budget(deadline, stop.stop).to_env()):
        store = Store(*where, device=device, fresh=asked)
        for entry in entries:
            began = time.perf_counter()
            try:
                known = store.state(entry.run) == "complete"
                store.ensure(entry.run)
            except OutOfTime as error:
                click.echo(f"{entry.name}: {error}", err=True)
                return stop.asked or error.exit_code
            except Exception as error:  # one run's failure, whatever a library raises, is not the others'
                failed.append(entry.name)
                kind = "" if isinstance(error, DipddpmError) else f"{type(error).__name__}: "
                click.echo(f"{entry.name}: {kind}{error}", err=True)
            else:
                how = "from its record" if known else f"computed in {time.perf_counter() - began:.1f} s"
                click.echo(f"{entry.name}: {how}")
    if failed:
        click.echo(f"{len(failed)} of {len(entries)} runs failed: {', '.join(failed)}", err=True)
        return 1
    store.end_fresh()
    return 0


@cli.command("data", help=f"Get and verify a data set ({', '.join(PUBLISHED)}), or describe your own images in a folder.")
@click.argument("name")
def get_data(name: str) -> int:
    if name not in PUBLISHED:
        if not (os.path.lexists(name) or os.sep in name):
            raise UsageError(f"unknown data set {name!r}: choose one of {', '.join(PUBLISHED)}, or give a folder")
        from dipddpm_utils.data import own

        click.echo(own.described(name))
        return 0
    from dipddpm_utils.data.sets import load

    data = load(Data(name=name))
    shape = tuple(data.train.shape[1:])
    click.echo(f"{name}: {len(data.train)} training, {len(data.held_out)} held-out images of {shape}, verified")
    click.echo(f"source: {data.source}\nsha256: {data.sha256}")
    return 0


@cli.command("features")
@click.argument("name")
def train_features(name: str) -> int:
    """Train the small classifier whose features judge samples of data set NAME, and write it to the package's assets."""
    from dipddpm_utils.judging.classifier import train_classifier

    train_classifier(name, say=click.echo)
    return 0


@cli.command("notebooks")
@profile_option
@click.option("--only", metavar="03,05", help="Only these notebooks.")
@fresh_option
@minutes_option
@results_option
@device_option
@click.option("-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="A notebook parameter.")
@click.option("--list", "only_list", is_flag=True, help="List the notebooks and their parameters.")
def run_notebooks(
    profile: str | None, only: str | None, results: str, device: str, parameters: Any, only_list: bool, **limits: Any
) -> int:
    """Run the notebooks in order and build the page (what ./run_all.sh calls)."""
    if only_list:
        for source in nbfiles.find(only=only):
            click.echo(f"{source.name:20}  {source.title}")
            for item in (item for name, item in source.parameters.items() if name not in nbfiles.RESERVED):
                click.echo(f"{'':20}  -p {item.name} {item.value!r}: {item.takes}")
        return 0
    _check_device(device)
    given = dict(parameters)
    nbfiles.checked(nbfiles.find(only=only), given)
    if device == "auto" and (warning := machine_device.gpu_warning()):
        advice = "update its driver, or install the torch build that fits it; in a container: docker run --gpus all"
        click.echo(f"\n!!!! {warning} All runs on the CPU, many times slower. To use the GPU, {advice}.\n", err=True)
    where = (profile or notebooks.default_profile(), results_folder(results))
    return notebooks.drive(notebooks.Job(*where, only=only, device=device, parameters=given, front=_front, **limits))


@cli.command("doctor")
@results_option
def look_around(results: str) -> int:
    """What this machine has and what is computed, on one screen, and what to do next; paste it into a bug report."""
    return doctor.main(results)


@cli.command("report")
@profile_option
@results_option
def redraw(profile: str | None, results: str) -> int:
    """Redraw all figures, tables and the page from records alone, and README's answer with them."""
    from dipddpm_utils import front
    from dipddpm_utils.data import own
    from dipddpm_utils.store import runs

    own_images = ":" in (profile or "")
    job = notebooks.Job(
        profile or "quick", results_folder(results), only=own.CHAPTERS if own_images else None, records_only=True, front=_front
    )
    code = notebooks.drive(job)
    if code == 0 and job.results == runs.CHECKOUT / "results" and not own_images:
        front.write_readme(job.results)
    return code


@cli.command("badges")
@click.argument("repository", metavar="OWNER/REPO")
def set_badges(repository: str) -> int:
    """Set the repository on GitHub that the badges open in Colab, in every file that names it."""
    click.echo(f"{repository} set in {colab.set_address(repository)} files")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; whatever goes wrong is said in one line. arguments: the process's own if None."""
    if arguments is None:
        process.steady()
    try:
        code = cli.main(args=arguments, prog_name="python -m dipddpm_utils", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.ClickException as error:
        code = _say(error.format_message(), UsageError.exit_code)
    except DipddpmError as error:
        code = _say(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = _say("stopped by Ctrl-C; what was complete is kept", 130)
    except OSError as error:
        code = _say(f"{error.filename or 'the system'}: {error.strerror or error}", 1)
    if sys.stdout is not None:
        sys.stdout.flush()
    return _say(f"what was said is lost: {process.lost()}", code or 1) if process.lost() else code


def _say(message: str, code: int) -> int:
    click.echo(f"dipddpm: {' '.join(message.split())}", err=True)
    return code


def _chosen(profile: Any, names: tuple[str, ...]) -> list[Any]:
    """Runs by name, all if none is named; a group's name stands for all its members."""
    chosen = {}
    for name in names or profile.entries:
        grouped = name not in profile.entries and name in profile.groups
        entries = [member.entry for member in profile.group(name)] if grouped else [profile.entry(name)]
        chosen.update({entry.name: entry for entry in entries})
    return list(chosen.values())


def _check_device(device: str, here: bool = True) -> None:
    """Say now, not in the first notebook that computes, that there is no such device, or (DeviceError) none `here`."""
    if device not in ("auto", "cpu"):
        with nullcontext() if here else suppress(DeviceError):
            machine_device.pick_device(device)


def _front(results: Path, profile: str) -> tuple[str, str]:
    """What the page opens with, from this profile's own records, and what became of the two reports."""
    from dipddpm_utils import front
    from dipddpm_utils.page.lab import Lab

    lab = Lab(profile, str(results), records_only=True)
    reports = "" if ":" in profile else front.reports_in_short(lab, page=True)  # one's own images have no report
    return front.markdown(lab), reports


if __name__ == "__main__":
    sys.exit(main())
