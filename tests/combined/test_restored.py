"""What is said of the restoration follows from its records: who is best at equal seconds, chosen on images not judged."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from labs import Records
from matplotlib.text import Text

from dipddpm_utils import front
from dipddpm_utils.combined import conclusions, figures, restored, verdicts
from dipddpm_utils.page import compare
from dipddpm_utils.page.prose import factor, span
from dipddpm_utils.reports import gate

PSNR = {"degraded": 10, "smooth": 12, "dip": 20, "dip_oracle": 21, "ddpm": 15, "smooth_ddpm": 16, "told_ddpm": 18,
        "dip_ddpm": 21, "dip_told_ddpm": 22, "mean": 23, "calls": 17, "eta": 16, "ddnm": 17, "unet": 19}  # fmt: skip


class Made:
    """A lab of made-up records: two settings, three models, twelve images each; images are of differing difficulty."""

    def __init__(self, **moved):
        self.records, self.kept = [], {}
        for task, strength in (("denoise", 0.2), ("inpaint", 0.25)):
            psnr = {name: value for name, value in (PSNR | moved).items() if task == "inpaint" or name not in TOLD}
            self.records += [record(task, strength, seed, psnr) for seed in range(3)]

    def has(self, *groups):
        return groups == ("restore",)

    def seeds(self, name):
        return self.records


TOLD = ("told_ddpm", "dip_told_ddpm", "ddnm")


def record(task, strength, seed, psnr):
    rng, images = np.random.default_rng(seed), range(20 * seed, 20 * seed + 12)
    hard = rng.normal(size=12)
    rows = [
        {"method": name, "image": i, "psnr": value + hard[k] + 0.1 * rng.normal(), "ssim": value / 30, "features": 40 - value}
        for name, value in psnr.items()
        for k, i in enumerate(images)
    ]
    rows = pd.DataFrame(rows)
    if task == "inpaint":  # of colour images
        rows["imagenet"] = rows["features"] / 2
    metrics = {"task": task, "strength": strength, "n": 12, "dip_iterations": 90, "unet_steps": 7}
    for name, value in psnr.items():
        long = restored.METHODS[name][1] in ("with a DIP", "equal seconds")
        metrics |= {f"{name}_psnr": value, f"{name}_tuned": value, f"{name}_seconds": 30.0 if long else 0.5}
        metrics |= {f"{name}_t_start": 300, f"{name}_nfe": 6} if "ddpm" in name else {}
    shown = {f"panels_{name}": np.zeros((6, 1, 28, 28), np.uint8) for name in ("clean", *psnr)} if seed == 0 else {}
    run = SimpleNamespace(model=SimpleNamespace(data=SimpleNamespace(name="cifar10" if task == "inpaint" else "mnist")))
    return SimpleNamespace(metrics=metrics, evals=rows, arrays=shown, seed=seed, run=run)


def test_the_rival_is_chosen_where_nothing_is_judged():
    lab = Made()
    for one in lab.records:
        one.metrics |= {"unet_tuned": 40.0}  # luck there: it is the rival, whatever the images judged say
    settings = restored.settings(lab)
    assert {restored.best(records, "equal seconds") for records in settings.values()} == {"unet"}
    assert [restored.best(records, "with a DIP") for records in settings.values()] == ["dip_ddpm", "dip_told_ddpm"]
    assert [restored.best(records, "cheap") for records in settings.values()] == ["smooth_ddpm", "told_ddpm"]


def test_a_difference_is_paired_by_model_since_its_images_share_it():
    gaps = restored.restored(Made())
    assert len(gaps) == (3 + 4) * 2 and {gap.n for gap in gaps.values()} == {3} and {gap.of for gap in gaps.values()} == {14}
    assert {gap.over for gap in gaps.values()} == {"models"}
    gap = gaps[("inpaint", 0.25, "CIFAR-10"), "psnr", "equal seconds"]
    assert gap.value == pytest.approx(22 - 23, abs=0.1) and gap.decided and gap.high - gap.low < 0.3  # how hard drops out
    assert gaps[("denoise", 0.2, "MNIST"), "psnr", "cheap"].value == pytest.approx(21 - 16, abs=0.1)


@pytest.mark.parametrize(("mean", "verdict", "answer"), [(30, "worse", "no."), (5, "better", "yes.")])
def test_a_moved_record_moves_verdict_sentence_table_and_answer(mean, verdict, answer):
    lab = Made(mean=mean)
    pairs = restored.restored_pairs(lab)
    own = pairs[pairs["without (s)"].str.endswith(" (30)")]
    assert len(pairs) == 4 and len(pairs.columns) == 7 and len(own) == 2 and own["with a DIP (s)"].str.endswith(" (30)").all()
    assert all(own[name].str.endswith(f" {verdict}").all() for name in ("PSNR (dB)", "SSIM", "feature distance"))
    assert own["ImageNet distance"].iloc[0] == "" and own["ImageNet distance"].iloc[1].endswith(f" {verdict}")
    of_one = " and ".join(["1", "0"][:: 1 if verdict == "better" else -1])
    assert f"; ImageNet distance {of_one} of 1)" in restored.restored_count(lab, "equal seconds")
    assert "ImageNet" not in restored.restored_count(lab, "equal seconds", "MNIST")
    counted = "won 2 and lost 0" if verdict == "better" else "won 0 and lost 2"
    assert restored.restored_count(lab, "equal seconds").startswith(f"{counted} by PSNR (SSIM ")
    assert restored.restored_count(lab, "equal seconds", "MNIST").startswith(f"{counted.replace('2', '1')} by PSNR (SSIM ")
    assert restored.won_and_lost(lab, "equal seconds", "MNIST")["PSNR"] == ((1, 0, 1) if verdict == "better" else (0, 1, 1))
    table = restored.restoration_table(lab)
    best = table[(table["best of its kind"] != "") & (table["task"] == "Denoising MNIST, noise of std 0.2")]
    shown = [float(cell.partition(" [")[0]) for cell in best["PSNR (dB)"]]
    assert shown == pytest.approx([21.0, 16.0, 30.0 if mean == 30 else 19.0], abs=0.2)  # DIP, single chain, equal seconds
    assert list(restored.sets_of(lab)) == ["MNIST", "CIFAR-10"]
    rows = verdicts.rows(lab)
    assert [row.better for row in rows] == [verdict == "better"] * 2
    said = front.restoration(lab)
    assert f"image: {answer}" in said and f"By PSNR a DIP {counted.replace('0', 'none')} of 2 settings." in said
    counted, way = ("won 5 and lost none", "2") if verdict == "better" else ("won none and lost 5", "none")
    assert f"Its best rival took 1.0 times the DIP's seconds; in {way} it was a U-Net trained" in said
    assert f". By other scores the DIP {counted} of 5 comparisons." in said
    assert f"is below the DIP's mean PSNR in {'none' if mean == 30 else '2'} (not tested)." in said
    assert "the DDPM's best single chain (0.017 times) the DIP won 2 and lost none." in said


class Tuned(Made):
    """In one of the settings a rival was tuned, on a day when everything took twice the seconds."""

    def __init__(self, unet):
        super().__init__()
        made = {"dip": 20, "dip_oracle": 21, "unet": unet}
        self.tuned = [record("inpaint", 0.25, seed, made) for seed in range(3)]
        for one in self.tuned:
            one.metrics |= {"dip_oracle_seconds": 1.0, "unet_seconds": 58.0}

    def has(self, *groups):
        return set(groups) <= {"restore", "restore-tuned"}

    def seeds(self, name):
        return {"restore": self.records, "restore-tuned": self.tuned}[name]


def test_which_rivals_were_trained_for_the_degradation_is_said_and_how_the_ddpm_itself_does():
    """Of two settings a trained network leads in the one where it was tuned; the DDPM itself is above the DIP until moved."""
    said = conclusions.rivals(Tuned(30))
    assert (
        said.startswith("In 1 of 2 the best rival is a U-Net trained on clean images")
        and "is below the DIP's mean PSNR in none (" in said
    )
    lab = Tuned(30)
    for one in lab.records:
        one.metrics |= {f"{name}_psnr": 5.0 for name in ("mean", "calls", "eta", "ddnm") if f"{name}_psnr" in one.metrics}
    assert "is below the DIP's mean PSNR in 2 (" in conclusions.rivals(lab)
    assert conclusions.rivals(lab, "CIFAR-10").startswith("In 1 of 1 ")
    assert conclusions.rivals(lab, "MNIST").startswith("In none of 1 ")


@pytest.mark.parametrize(("unet", "rival", "value"), [(30, "chosen_unet", 22 - 30), (15, "mean", 22 - 23)])
def test_a_rival_that_was_tuned_stands_among_the_others_in_the_seconds_of_their_day(unet, rival, value):
    lab = Tuned(unet)
    (denoise, _), (inpaint, records) = restored.settings(lab).items()
    assert restored.best(records, "equal seconds") == rival
    gaps = restored.restored(lab)
    assert gaps[inpaint, "psnr", "equal seconds"].value == pytest.approx(value, abs=0.1)
    assert gaps[denoise, "psnr", "equal seconds"].value == pytest.approx(21 - 23, abs=0.1)
    assert restored.over_records(records, "chosen_unet_seconds") == 29.0
    assert all(panel.get_title(loc="left") for panel in figures.restoration(lab, "CIFAR-10").axes)
    assert len(figures.restored_images(lab, "CIFAR-10").axes) == 1
    table = restored.restoration_table(lab).set_index("method")
    assert table.loc["tuned supervised U-Net", "chosen"] == "7 steps" and len(lab.records[0].evals) < len(records[0].evals)


def test_what_to_use_instead_is_counted_over_the_settings():
    said = conclusions.instead(Tuned(30))
    assert said.endswith("seconds: mean of DDPM samples in 1, tuned supervised U-Net in 1 of 2 settings.")


def test_what_is_not_decided_is_neither_won_nor_lost():
    lab = Made(mean=21)  # of digits as good as the best way with a DIP
    assert set(restored.won_and_lost(lab, "equal seconds", "MNIST").values()) == {(0, 0, 1)}
    assert [row.better for row in verdicts.rows(lab)] == [None, True]
    pairs = restored.restored_pairs(lab)
    assert pairs.loc[0, "PSNR (dB)"].endswith(" not decidable") and pairs.loc[2, "PSNR (dB)"].endswith(" better")


@pytest.mark.parametrize(("oracle", "behind"), [(99, 0), (5, 1)])
def test_it_is_said_where_no_stop_of_its_fit_would_put_a_dip_ahead(oracle, behind):
    said = restored.behind(Made(mean=30, dip_oracle=oracle), "MNIST")
    assert f"below the best rival's mean PSNR in {behind} of 1 settings" in said


def test_the_table_has_every_method_and_fits_the_page():
    table = restored.restoration_table(Made())
    assert len(table) == 2 * len(PSNR) - len(TOLD)
    assert len(table.drop(columns=["ImageNet distance", "best of its kind"]).columns) == 7  # what the page shows
    best = table[table["best of its kind"] == "yes"].groupby("task")["method"].agg(list)
    assert list(best) == [["DIP, then DDPM", "smoothed, then DDPM", "mean of DDPM samples"],
                          ["DIP, then DDPM told y", "DDPM told y", "mean of DDPM samples"]]  # fmt: skip
    assert (table["ImageNet distance"] == "").equals(table["task"].str.startswith("Denoising MNIST"))
    assert "90 iterations" in set(table["chosen"]) and "7 steps" in set(table["chosen"])


def test_the_figures_have_a_panel_and_a_row_a_setting():
    lab = Made()
    for of in restored.sets_of(lab):
        (panel,) = figures.restoration(lab, of).axes
        told = {"mean of DDPM samples", "DIP, then DDPM told y" if of == "CIFAR-10" else "DIP, then DDPM"}
        assert told <= {text.get_text() for text in panel.findobj(Text)}
        (sheet,) = figures.restored_images(lab, of).axes
        assert len(sheet.get_yticks()) == 1 and len(sheet.get_xticks()) == 10


def test_more_images_are_said_wherever_the_setting_is():
    lab = Records()
    members = [member for member in lab.profile.groups["restore"] if "photos-inpaint-0.5" in member.entry.name]
    lab.profile.groups["restore-more"] = members[1:]
    assert restored.more_images(lab, "MNIST") == "" != restored.more_images(lab, "CIFAR-10")
    for record in lab.seeds("restore-more"):
        rows, worse = record.evals, record.evals["method"] == restored.best(lab.seeds("restore-more"), "with a DIP")
        rows.loc[worse, "psnr"] = rows.loc[~worse, "psnr"].min() - 5 - record.seed / 10
        record.metrics["n"] *= 3
    said = restored.more_images(lab)
    assert said.startswith(
        "With 3 times the images and training, DIP alone minus the tuned supervised U-Net, inpainting CIFAR-10, 50%"
    )
    assert "seen: -" in said and "models: **worse** (p" in said
    more = lab.seeds("restore-more")
    own, rival = (restored.judged(more, restored.best(more, role)) for role in ("with a DIP", "equal seconds"))
    scores = compare.family("more images", {s: compare.difference(own, rival, s, by="model") for s in restored.scores(more)})
    assert {gap.of for gap in scores.values()} == {4}  # all scores of one comparison are looked at together
    for score in ("ssim", "features", "imagenet"):
        (name, more), gap = restored.SCORES[score], scores[score]
        word = "not decidable" if not gap.decided else "better" if (gap.value > 0) == more else "worse"
        assert gap.ratio is (score != "ssim")  # distances are compared as factors
        assert f"{name} {factor(gap) if gap.ratio else span(gap, '+')} {word}" in said
    assert said in restored.restored_short(lab, "CIFAR-10")
    assert restored.how_many(lab, "MNIST") == "n = 170 to 272 images of MNIST in all, split among 5 to 8 models"
    assert restored.how_many(lab).endswith("; 204 images of CIFAR-10 in all, split among 6 models")
    assert "**" not in front.markdown(lab).split("Records of")[0]
    lab.profile.groups["restore-more"] = []
    assert restored.more_images(lab) == ""


def test_what_the_verdicts_of_restoration_were_multiplied_by_is_said():
    lab = Records()
    gaps = restored.restored(lab).values()
    assert {gap.of for gap in gaps} == {len(gaps)} and max(gap.n for gap in gaps) - 2 == 6
    said = restored.corrected(lab)
    assert f"over the {len(gaps)} comparisons" in said and "(up to 6: models were added)" in said
    lab.profile.groups["restore"] = [one for one in lab.profile.group("restore") if one.entry.run.seed < 3]
    lab.kept = {}
    assert "looks" not in restored.corrected(lab)


def test_the_denoiser_is_said_with_what_needs_no_learning():
    lab = Records()
    said = restored.denoiser(lab, "CIFAR-10")
    assert restored.restored_short(lab, "CIFAR-10").startswith("Of 6 settings a DIP won ")
    assert said.startswith("The DDPM: FD-CIFAR") and "no images" not in said
    assert restored.denoiser(lab, "MNIST") == "How well the DDPM draws: [table](#tab-04_quality)."  # that of the headline
    floor = gate.floor_of(Records("full"), "a-ddpm")
    assert floor.name.startswith("a-floor") and gate.floor_of(lab, "main").name.startswith("floor")
    assert gate.floor_of(lab, "photos").name.startswith("photos-floor")  # photographs, not digits
    least, what = gate.trivial(floor)
    assert least == min(value for name, value in floor.metrics.items() if name in gate.TRIVIAL) and what
    for name in [name for name in lab.profile.groups if name.endswith("floor")]:
        lab.record(name).metrics["trivial_blur_fd"] = 2.0
    assert "; blurred training images: 2.00." in restored.denoiser(lab, "CIFAR-10")
    assert "It does not pass the gate of notebook 06 (" in restored.denoiser(lab, "CIFAR-10")  # 2.00 is below its own
    assert "gate" not in said and gate.trivial(None) == (np.inf, "")


def test_of_photographs_a_second_space_is_said_or_why_there_is_none():
    lab = Records()
    said = restored.denoiser(lab, "CIFAR-10")
    assert "In a second space (FD-IMAGENET, n = 5000): " in said and " Blurred training images: " in said
    assert "FD-IMAGENET" not in restored.denoiser(lab, "MNIST")
    for record in lab.seeds("photos-drawn"):
        del record.metrics["fd_imagenet"]
        record.notes.append("no second space for colour images: install it")
    assert "No second space for colour images: install it." in restored.denoiser(lab, "CIFAR-10")
    lab.profile.groups["photos-drawn"] = []
    assert "second space" not in restored.denoiser(lab, "CIFAR-10")


def test_names_and_roles_are_those_of_the_runs():
    restore = pytest.importorskip("dipddpm_utils.priors.restore")
    assert set(restore.CHEAP) | set(restore.WITH_DIP) == {"dip", *restore.CHAINS} and set(restored.TASKS) == set(
        restore.STRENGTHS
    )
    assert {"", *figures.ROLES} == {role for _, role in restored.METHODS.values()}


def test_what_a_dip_costs_is_over_its_rivals_seconds():
    from combined.test_restored import Made

    from dipddpm_utils.combined import restored

    lab = Made()
    for record in lab.records:
        record.metrics |= {f"{name}_seconds": 60.0 for name, (_, role) in restored.METHODS.items() if role == "equal seconds"}
    assert {row.cost for row in verdicts.rows(lab)} == {"0.50 \u00d7 time"}
