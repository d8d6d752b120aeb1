"""What `runs` prints: every run of a profile, how far it is, and what it took or (counted, estimated) will take."""

import math
from collections import Counter
from typing import Any

import pandas as pd

from dipddpm_utils.driver.cluster import Campaign
from dipddpm_utils.machine import files
from dipddpm_utils.machine.provenance import hardware, machine
from dipddpm_utils.page import speed
from dipddpm_utils.page.prose import number

HEAD = ("name", "hash", "state", "seconds", "size", "FLOPs", "hours")


def listing(store: Any, device: str = "auto", probe: bool = False) -> tuple[list[str], list[str]]:
    """(lines, what is damaged). Hours with a tilde are estimated; those of complete runs were measured.

    probe: time each network that is left and was not timed on this machine, which takes minutes for large ones; and keep the
    profile's hours in bench/hours.csv, which the README shows.
    """
    rows, wrong, left, took = [], [], [], Counter()  # seconds by the machine that they were measured on
    if probe:
        speed.kept_hours(store.root.parent)  # a damaged one is said now, not in minutes
    for entry in store.profile.entries.values():
        state, record, why = store.examined(entry.run)
        wrong += [why] if why else []
        size = f"{sum(path.stat().st_size for path in store.folder(entry.run).rglob('*') if path.is_file()) / 1e3:.1f} kB"
        if record is None:
            left.append(entry.run)
            rows.append([entry.name, entry.hash, state, "", size, "", ""])
            continue
        took[hardware(record.provenance)] += record.seconds
        own = ("sample_flops",) if entry.run.kind == "sample" else ("train_flops", "sample_flops")  # its model is another run
        counted = sum(record.metrics.get(name) or 0 for name in own)
        shown = [f"{record.seconds:.1f}", size, f"{counted:.1e}" if counted else "", f"{record.seconds / 3600:.2f}"]
        rows.append([entry.name, entry.hash, state, *shown])
    complete = sum(row[2] == "complete" for row in rows)
    about = [f"profile {store.profile.name}: {complete} of {len(rows)} runs complete, in {took.total() / 3600:.1f} hours"]
    if left or probe:
        from dipddpm_utils.machine.device import pick_device  # imports torch

        where = str(pick_device(device, to_compute=probe))
    if left:
        about += _left(store, rows, left, where, probe)
    if probe and not wrong and ":" not in store.profile.name:  # a user's own images are nobody else's
        _keep(store, took, left, where)
    widths = [max(len(row[i]) for row in [HEAD, *rows]) for i in range(len(HEAD))]
    lines = ["  ".join(f"{cell:{'<' if i < 3 else '>'}{widths[i]}}" for i, cell in enumerate(row)) for row in [HEAD, *rows]]
    return [line.rstrip() for line in lines] + about, wrong


def _left(store: Any, rows: list[list[str]], left: list[Any], where: str, probe: bool) -> list[str]:
    """Fill in what is left to do, and its sum: here, and on other machines."""
    from dipddpm_utils.priors import cost  # imports torch

    again = _trained_again(store, left)
    if probe:
        cost.probe([*left, *again], where)
    probes, undone, first = cost.kept(where), [cost.of(run) for run in left], [cost.of(run) for run in again]
    hours = [own.hours(probes) for own in undone]
    for row, own, here in zip([row for row in rows if not row[-1]], undone, hours, strict=True):
        row[5] = f"{own.flops:.1e}" if own.flops else "not counted"
        row[6] = f"~{here:.2f}" if own.network and math.isfinite(here) else "?"
    unknown = {own.network for own in (*undone, *first) if not math.isfinite(own.hours(probes))}
    said = f"estimated from probes of {cost.PROBED} training steps, one process"
    said += ", restoration, floors and fits to single images not counted" * any(not own.network for own in undone)
    known = f"{'over ' * (not all(map(math.isfinite, hours)))}{number(sum(here for here in hours if math.isfinite(here)))}"
    lines = [f"left: {len(undone)} runs, {sum(own.flops for own in undone):.2e} FLOPs"]
    lines.append(f"hours left on this machine ({machine(where)}): {known}, {said}")
    if again:
        more = number(sum(own.hours(probes) for own in first))
        what = f"{len(again)} complete runs that these are built on are trained again first, since no clone has weights"
        lines.append(f"{what}; hours more: {more}")
    if unknown:
        lines.append(f"not timed here yet: {len(unknown)} networks; time them, in minutes: {store.command('runs --probe')}")
    for name, total in cost.on_paper(store.profile).items():
        lines.append(f"hours of all {len(rows)} runs on {name}: about {number(total, 2)}, on paper, not measured")
    return lines


def _trained_again(store: Any, left: list[Any]) -> list[Any]:
    """Runs that those left to do are built on, directly or not, and whose weights are not here."""
    own = {store.folder(run).name for run in left}
    return [item.run for name, item in Campaign(store, left, None, 1).items.items() if name not in own]


def _keep(store: Any, took: Counter[str], left: list[Any], where: str) -> None:
    """The profile's row of bench/hours.csv: hours of one process here, as measured, probed or both, and on paper elsewhere.

    took: seconds by machine; where nothing is left, the one with most of them is named.
    """
    from dipddpm_utils.priors import cost  # imports torch

    measured = took.total() / 3600
    hours = measured + sum(cost.of(run).hours(cost.kept(where)) for run in left)
    how = "measured" if not left else "estimated" if measured == 0 else "measured and estimated"
    row = {"profile": store.profile.name, "runs": len(store.profile.entries), "hours": f"{hours:.2g}", "how": how}
    most = "".join(name for name, _ in took.most_common(1)) + ", and others" * (len(took) > 1)
    row["machine"] = machine(where) if left else most
    row |= {name: f"{total:.2g}" for name, total in cost.on_paper(store.profile).items()}
    path, before = store.root.parent / "bench" / "hours.csv", speed.kept_hours(store.root.parent, str).to_dict("records")
    rows = {one["profile"]: one for one in before} | {row["profile"]: row}
    files.write_text(path, pd.DataFrame(rows.values(), columns=list(row)).to_csv(index=False, lineterminator="\n"))
