"""README: its answer is the one that the records give, and its worked example works."""

import copy
import csv
import json
import re
from pathlib import Path

import pytest
from labs import Records

from dipddpm_utils import front
from dipddpm_utils.combined import comparisons, conclusions, figures, findings, mechanisms, verdicts
from dipddpm_utils.data import own
from dipddpm_utils.faults import FAULTS
from dipddpm_utils.front import README_MARKS
from dipddpm_utils.page import figures as page_figures
from dipddpm_utils.page import tables
from dipddpm_utils.page.lab import Lab
from dipddpm_utils.priors import declared
from dipddpm_utils.study import profile

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_answer_is_computed_from_the_committed_records():
    begin, end = README_MARKS
    written = README.split(begin)[1].split(end)[0].strip()
    lab = Lab(front.strongest(ROOT / "results"), str(ROOT / "results"))
    lab.store.records_only = True
    assert written == front.readme_block(lab, front.reports_in_short(lab)).strip(), "run `python -m dipddpm_utils report`"


@pytest.fixture
def examples(monkeypatch):
    """The worked examples of new priors, declared as README shows them, and gone after the test: their declarations."""
    known = {name: kind for name, kind in declared.KINDS.items() if not kind.everywhere}  # without the reader's own
    for name in profile.PROFILES:
        profile.load(name)  # is kept, and so must not be asked for the first time while they are declared
    monkeypatch.setattr(declared, "KINDS", dict(known))
    blocks = re.findall(r"```python\n(@.*?)```", README, re.DOTALL)
    for block in blocks:
        exec(block, vars(declared).copy())
    return [kind for name, kind in declared.KINDS.items() if name not in known]


def test_each_kind_of_prior_has_a_worked_example(examples):
    assert [(kind.place, kind.dip) for kind in examples] == [
        ("start", False), ("start", True), ("opinion", False), ("learned", True), ("trained", True)
    ]  # fmt: skip


@pytest.mark.slow
def test_the_worked_examples_have_runs_in_each_profile_and_give_records(examples, store):
    groups = {}
    for name in ("smoke", "quick", "standard"):
        old, new = profile.load(name), profile.load.__wrapped__(name)
        assert [new.entries.get(key) for key in old.entries] == list(old.entries.values())
        for kind in examples:
            group = new.group("starts" if kind.place == "start" else "mechanisms")
            groups[name, kind.name] = [member.entry.run for member in group if member.label == kind.name]
            assert groups[name, kind.name], (name, kind.name)
    for kind in examples:
        metrics = store.ensure(groups["smoke", kind.name][0]).metrics
        assert metrics["fd"] > 0 and (metrics["dip_flops"] > 0) == kind.dip
        assert bool(metrics.get("prior_seconds") or metrics.get("dip_seconds")) == kind.dip


@pytest.fixture
def shown(examples):
    """Committed records, and copies of some as those of the worked examples, which are better than what they compare with."""

    class Shown(Records):
        def has(self, *groups):
            return set(groups) <= set(self.profile.groups)

    lab = Shown("standard")
    lab.profile = lab.store.profile = profile.load.__wrapped__("standard")
    for kind in examples:
        start = kind.place == "start"
        for group in ("starts", "main-starts") if start else ("mechanisms", "main-drawn"):
            like = "gaussian" if group == "main-starts" else "dip" if kind.dip else "blur"
            if not start:
                like = "guidance" if (kind.place, group) == ("opinion", "main-drawn") else "condition"
            own = {
                (value if start else 0, record.seed): record for label, value, record in members(lab, group) if label == like
            }
            for member in (member for member in lab.profile.group(group) if member.label == kind.name):
                record = copy.deepcopy(own[member.value if start else 0, member.entry.run.seed])
                lab.used[member.entry.folder] = record
                uneven = 0.012 * (0.6, 1.0, 1.6)[record.seed % 3]  # so that half and median are not told apart
                record.metrics["fd"] *= (0.01 if kind.dip else uneven) if group == "main-starts" else 0.75 if start else 0.1
    return lab


def members(lab, group):
    """(label, value, record) of each member of a group that has a committed record."""
    own = [member for member in lab.profile.group(group) if lab.store.folder(member.entry.run).exists()]
    return [(member.label, member.value, lab._used(member.entry.run)) for member in own]


@pytest.mark.slow
def test_the_worked_examples_of_starts_are_named_in_every_figure_table_and_comparison(shown):
    starts, floor = shown.frame("starts"), shown.record("floor")
    median, half = "median training image", "half DIP output, half image"
    drawn = page_figures.fd_vs_t_start(starts, floor)
    assert {median, half} <= {text.get_text() for text in drawn.axes[0].get_legend().get_texts()}
    spent = page_figures.fd_vs_total_seconds(shown.seeds("ddpm"), shown.seeds("ddpm-on-dip"), starts, floor)
    assert any(half in text.get_text() for text in spent.axes[1].get_legend().get_texts())
    assert {median, half} <= set(tables.start_table(starts)["start"])
    said = comparisons.starts(starts)
    assert median in said and half in said, said
    said = "\n".join(conclusions.found(shown))
    assert f", {half} at t = " in said
    assert any(row.question.startswith(f"Started from {half}, t = ") for row in verdicts.rows(shown))
    over = tables.start_table(starts).set_index("start").loc[median]
    assert over[f"{half} over it"].str.contains("p = ").any() and over["DIP over it"].str.contains("p ").any()


@pytest.mark.slow
def test_the_worked_examples_of_mechanisms_are_named_in_every_figure_table_and_comparison(shown):
    frame, before = mechanisms.table_of(shown), mechanisms.headcount(Records("standard", without=("main-drawn",)))
    rows = figures.pareto(frame, shown.record("floor")).axes[0]
    assert {"told the DIP's edges", "pulled to the median (weight 0.1)"} <= {text.get_text() for text in rows.get_yticklabels()}
    small = mechanisms.small(shown)
    for table in (findings.quality_table(frame), findings.quality_table(small), findings.speed_table(small)):
        assert {"told the DIP's edges", "pulled to the median (weight 0.1)"} <= set(table["method"])
    said = mechanisms.mechanism(shown, "edges")
    assert "told the DIP's edges" in said and ("edges", 1, "condition blur") in mechanisms.screened(shown)
    many = [int(re.match(r"Of (\d+) mechanisms", said)[1]) for said in (before, mechanisms.headcount(shown))]
    assert many[1] == many[0] + 4  # one that the first did not have, and three examples


def test_the_switch_of_each_trained_fault_is_in_a_file_that_it_names():
    named = re.findall(r"`((?:dip|priors)/\w+\.py)`", re.search(r"\*\*\.\.\. a fault of .*?\n\n", README, re.DOTALL)[0])
    code = "".join((ROOT / "dipddpm_utils" / name).read_text() for name in named)
    assert len(named) == 4
    assert not [fault.id for fault in FAULTS.values() if fault.trained_in and f'"{fault.id}"' not in code]


def test_so_many_images_of_ones_own_as_it_says_are_enough_and_one_fewer_is_not():
    said = int(re.search(r"at least (\d+) PNG", README)[1])
    train = [round(own.TRAIN_SHARE * n) for n in (said - 1, said)]
    assert train[0] < own.LEAST_TRAIN <= train[1] and said - train[1] >= own.LEAST_HELD_OUT


def test_its_table_has_every_environment_variable_that_a_user_sets():
    code = "".join(path.read_text() for path in (ROOT / "dipddpm_utils").rglob("*.py"))
    told = "".join((ROOT / "dipddpm_utils" / name).read_text() for name in ("driver/notebooks.py", "machine/budget.py"))
    kernels = set(re.findall(r'"(DIPDDPM_\w+)":', told))  # told so by our own code
    rows = "".join(re.findall(r"^\| `DIPDDPM_.*? \|", README, re.MULTILINE))
    users = set(re.findall(r"DIPDDPM_\w+", code)) - kernels | {"DIPDDPM_RESULTS", "DIPDDPM_DEVICE"}
    assert set(re.findall(r"DIPDDPM_\w+", rows)) == users


def test_each_column_and_metric_that_the_schema_of_results_names_is_in_a_committed_file():
    schema, have = (ROOT / "results" / "README.md").read_text(), {"metrics": set(), "timings": set()}
    for path in (ROOT / "results").glob("*/runs/*/record.json"):
        record = json.loads(path.read_text())
        for key in ("metrics", "timings"):
            have[key] |= set(record[key])
        for name in record["files"].keys() - {"arrays.npz"}:
            for place in (f"`{name}`", f"`{name}` of `{record['kind']}`"):
                have.setdefault(place, set()).update(header(path.with_name(name)))
    for path in (ROOT / "results/bench/hours.csv", *(ROOT / "results").glob("*/tables/claims.csv")):
        have.setdefault(f"`{path.name}`", set()).update(header(path))
    tables = re.findall(r"^\| (`\w+\.csv`(?: of `\w+`)?) \|.*?\| (.*) \|$", schema, re.MULTILINE)
    metrics = re.search(r"\| metric \|.*?\n\n", schema, re.DOTALL)[0]
    tables += [("metrics", text) for text in re.findall(r"^\| (`.*?) \|", metrics, re.MULTILINE)]
    tables.append(("timings", re.search(r"^\| `timings` \| (.*) \|$", schema, re.MULTILINE)[1]))
    assert len(tables) > 20
    for place, text in tables:
        assert set(re.findall("`([^`]+)`", text)) <= have[place], place


def header(path: Path) -> list[str]:
    with path.open(newline="") as lines:
        return next(csv.reader(lines))


def test_every_command_and_file_that_it_names_is_there():
    for name in re.findall(r"`(dipddpm_utils/[\w./]+|results/README\.md|CITATION\.cff|CHANGELOG\.md)`", README):
        assert (ROOT / name).exists(), name
