"""README: its answer is the one that the records give, and its worked example works."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fake_records import FakeLab

from dipddpm_utils import answer
from dipddpm_utils.answer import README_MARKS
from dipddpm_utils.page import sweeps, tables
from dipddpm_utils.page.lab import Lab
from dipddpm_utils.priors import comparisons, declared, figures, findings, mechanisms
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study import profile

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_answer_is_computed_from_the_committed_records():
    begin, end = README_MARKS
    written = README.split(begin)[1].split(end)[0].strip()
    lab = Lab(answer.strongest(ROOT / "results"), str(ROOT / "results"))
    lab.store.records_only = True
    assert written == answer.readme_block(lab).strip(), "run `python -m dipddpm_utils report`"


@pytest.fixture
def examples(monkeypatch):
    """The worked examples of new priors, declared as README shows them, and gone after the test: their declarations."""
    known = dict(declared.KINDS)
    monkeypatch.setattr(declared, "KINDS", dict(known))
    blocks = re.findall(r"```python\n(@.*?)```", README, re.DOTALL)
    for block in blocks:
        exec(block, vars(declared).copy())
    return [kind for name, kind in declared.KINDS.items() if name not in known]


def test_each_kind_of_prior_has_a_worked_example(examples):
    assert [(kind.place, kind.dip) for kind in examples] == [
        ("start", False), ("start", True), ("opinion", False), ("learned", True)
    ]  # fmt: skip


@pytest.mark.usefixtures("one_thread")
def test_the_worked_examples_have_runs_in_each_profile_and_give_records(examples, tmp_path):
    groups = {}
    for name in ("smoke", "quick", "standard"):
        old, new = profile.load(name), profile.load.__wrapped__(name)
        assert [new.entries.get(key) for key in old.entries] == list(old.entries.values())
        for kind in examples:
            group = new.group("starts" if kind.place == "start" else "mechanisms")
            groups[name, kind.name] = [member.entry.run for member in group if member.label == kind.name]
            assert groups[name, kind.name], (name, kind.name)
    store = Store(tmp_path, "smoke", device="cpu")
    for kind in examples:
        metrics = store.ensure(groups["smoke", kind.name][0]).metrics
        assert metrics["fd"] > 0 and (metrics["dip_flops"] > 0) == kind.dip
        assert bool(metrics.get("prior_seconds") or metrics.get("dip_seconds")) == kind.dip


@pytest.fixture
def shown(examples):
    """Made-up records in which the worked examples are better than what they are compared with."""
    lab = FakeLab()
    for kind in examples:
        group, like = ("starts", "dip" if kind.dip else "blur") if kind.place == "start" else ("mechanisms", "condition")
        for label, *about, record in list(lab.groups[group]):
            if label == like:
                better = replace(record, metrics={**record.metrics, "fd": (0.7 if kind.dip else 0.8) * record.metrics["fd"]})
                lab.groups[group].append((kind.name, *about, better))
    return lab


def test_the_worked_examples_of_starts_are_named_in_every_figure_table_and_comparison(shown):
    starts, floor = shown.frame("starts"), shown.record("floor")
    median, half = "median training image", "half DIP output, half image"
    for draw in (lambda: sweeps.fd_vs_t_start(starts, floor), lambda: sweeps.copies(starts)):
        assert {median, half} <= {text.get_text() for text in draw().axes[0].get_legend().get_texts()}
    spent = sweeps.fd_vs_total_seconds(shown.seeds("ddpm"), shown.seeds("ddpm-on-dip"), starts, floor)
    assert any(half in text.get_text() for text in spent.axes[1].get_legend().get_texts())
    assert {"median", "half"} <= set(tables.start_table(starts)["start"])
    assert {"median", "half"} <= set(comparisons.start_bounds(starts)["start"])
    for said in (comparisons.starts(starts), comparisons.start_bound(comparisons.start_bounds(starts))):
        assert median in said and half in said
    said = answer.answer(shown)
    assert f"starting from {half}?**" in said and f"{half} over {median}" in said
    compared = comparisons.negative_results(shown)["comparison"]
    assert compared.str.contains(f"{half} / from median").any() and compared.str.contains("outputs / from median").any()


def test_the_worked_examples_of_mechanisms_are_named_in_every_figure_table_and_comparison(shown):
    frame, before = mechanisms.table_of(shown), findings.headcount(FakeLab())
    rows = figures.pareto(frame, shown.record("floor")).axes[1]
    assert {"told the DIP's edges", "pulled to the median (weight 1)"} <= {text.get_text() for text in rows.get_yticklabels()}
    for table in (mechanisms.quality_table(frame), mechanisms.speed_table(frame)):
        assert {"edges", "to-median"} <= set(table["method"])
    said = findings.mechanism(shown, "edges")
    assert "told the DIP's edges" in said and "FD over that of blur as a condition" in said
    assert "pulled to the median" in findings.useful(shown) and "told the DIP's edges" in findings.on_the_front(shown)
    assert "Of 7 mechanisms" in before and "Of 8 mechanisms" in findings.headcount(shown)


def test_every_command_and_file_that_it_names_is_there():
    for name in re.findall(r"`(dipddpm_utils/[\w./]+|results/README\.md|CITATION\.cff|CHANGELOG\.md)`", README):
        assert (ROOT / name).exists(), name
