"""The first screen: every word follows from the records; moving them moves the verdict, the sentence and the table."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from labs import RESULTS, Records, holding
from PIL import Image

from dipddpm_utils import front
from dipddpm_utils.combined import comparisons, conclusions, restored, verdicts
from dipddpm_utils.page.lab import Lab
from dipddpm_utils.page.prose import distance, factor
from dipddpm_utils.reports import findings

LAB = Records()


def moved(factor):
    """The committed records, with the FD of everything that is trained on DIP outputs set anew."""
    lab = Records()
    on_dip = dict.fromkeys(("ddpm-on-dip", "main-on-dip"), factor)
    for name, times in {"ddpm": 1.0, "main": 1.0, "ddpm-more": 1.0, **on_dip}.items():
        lab.set(name, fd=lambda record, label, value, times=times: 5.0 * times)
    return lab


@pytest.mark.parametrize(("factor", "verdict", "better"), [(3.0, "**worse**", False), (0.3, "**better**", True)])
def test_a_moved_record_moves_verdict_sentence_and_table(factor, verdict, better):
    found = verdicts.rows(moved(factor))
    assert found[0].better is better and verdict in found[0].verdict
    assert verdict in front.table(found).splitlines()[2]
    won, lost = (sum(row.better is side for row in found if row.job != "restoration") for side in (True, False))
    said = f"with its hardest rival without one (same sampler): {won or 'none'} won, {lost or 'none'} lost"
    assert said in front.generation(found)


@pytest.mark.slow
def test_one_record_moved_moves_readme_first_screen_and_answer():
    lab = Records()
    before = front.readme_block(lab), front.markdown(lab), "\n".join(conclusions.found(lab))
    own = lab.seeds("main-on-dip")[0].metrics
    own |= {name: 40 * own[name] for name in ("fd", "fd_low", "fd_high")}
    gap = factor(comparisons.outputs(lab)["fd"])
    after = front.readme_block(lab), front.markdown(lab), "\n".join(conclusions.found(lab))
    assert all(gap in new and gap not in old for old, new in zip(before, after, strict=True))
    assert all("not decidable" in line for text in after for line in text.splitlines() if gap in line)
    assert conclusions.found(lab)[0].count("not decidable") == 1


def test_the_answers_count_the_rows():
    won, lost, unclear = (
        verdicts.Row("generation", "q", "e", "v", "c", "f", better, 0.0, "3 seeds") for better in (True, False, None)
    )
    assert "images: yes." in front.generation([won]) and "images: no." in front.generation([lost, lost, unclear])
    assert "images: in part." in front.generation([won, lost]) and "images: no gain shown." in front.generation([unclear])
    assert "not measured" in front.generation([]) and "not measured" in front.restoration(Records(without=("restore",)))


def test_what_gave_images_back_is_neither_undecided_nor_won():
    made = {
        better: verdicts.Row("generation", "q", "e", "v", "c", "04_fd_over_steps", better, 0.0, "3 seeds")
        for better in (True, False, None)
    }
    back = replace(made[None], given_back=True)
    said = front.generation([made[False], made[None], back, back])
    assert ": none won, 1 lost, 1 is undecided, 2 gave back training images" in said
    assert "images: in part." in front.generation([made[True], made[None]])
    assert "images: in part." in front.generation([made[True], back]) and "undecided" not in front.generation([back])


@pytest.mark.parametrize(("lost", "answer"), [(7, "no"), (6, "no gain shown"), (5, "no gain shown")])
def test_mending_is_no_where_more_settings_are_lost_than_undecided(lost, answer, monkeypatch):
    counted = restored.won_and_lost

    def made_up(lab, role):
        found = counted(lab, role)
        return found | {"PSNR": restored.Counted(0, lost, 12)} if role == "equal seconds" else found

    monkeypatch.setattr(restored, "won_and_lost", made_up)
    assert f"**Mending a degraded image: {answer}.** By PSNR a DIP won none and lost {lost} of 12" in front.restoration(LAB)


@pytest.mark.parametrize(
    ("gains", "said"), [(0, "No row shows a gain."), (1, "1 row shows a gain."), (2, "2 rows show a gain.")]
)
def test_the_caption_counts_the_gains_that_the_table_shows(gains, said):
    rows = [
        verdicts.Row(
            "generation", f"q{k}", "e", "v", "c", "04_fd_vs_t_start", k < gains or None, 0.0, "3 seeds", given_back=k == 2
        )
        for k in range(3)
    ]
    assert front.caption(rows).startswith(said)


@pytest.mark.parametrize(
    ("figure", "back", "said"),
    [("04_fd_vs_t_start", True, True), ("04_fd_vs_t_start", False, False), ("04_pareto", True, False)],
)
def test_that_the_pictures_last_row_was_given_back_is_said_where_that_start_gives_back(figure, back, said, monkeypatch):
    row = verdicts.Row("generation", "q", "e", "v", "c", figure, None, 0.0, "3 seeds", given_back=back)
    monkeypatch.setattr(front, "rows", lambda lab: [row])
    assert ("(images given back)" in front.markdown(LAB)) is said


def test_the_picture_is_the_first_samples_of_seed_0_a_row_a_model():
    shown = np.asarray(Image.open(io.BytesIO(front.picture(LAB))).convert("L")).astype(float)
    for place, group in enumerate(comparisons.compared(LAB)):
        grid = LAB.seeds(group)[0].arrays["grid"][:12, 0].astype(float)
        side = grid.shape[-1] + 1  # a line between two
        for k, sample in enumerate(grid):
            drawn = shown[place * side :, k * side :][: side - 1, : side - 1]
            assert np.corrcoef(drawn.ravel(), sample.ravel())[0, 1] > 0.95, (group, k)


def test_how_many_runs_are_done_at_the_reports_own_size_and_which_model_the_answer_rests_on():
    full = Lab("full", str(RESULTS), records_only=True)
    there = sum((full.store.root / "runs" / entry.folder / "record.json").exists() for entry in full.profile.entries.values())
    assert f"At their own size {there} of {len(full.profile.entries)} runs are done" in front.reports_in_short(Records("full"))
    model = f"{comparisons.alone(LAB)}: {distance(LAB.seeds('main'), LAB.record('floor'))}."
    block = front.readme_block(LAB)
    assert model in block and model in front.markdown(LAB)
    assert "](results/standard/figures/04_pareto.png) |" in block and ", 8 seeds |" in block


@pytest.mark.parametrize(("many", "left"), [(1, 1), (2, 2), (3, 2), (6, 2)])
def test_of_restoration_the_screen_shows_the_ends_and_of_ways_in_the_lowest(many, left):
    mended = [verdicts.Row("restoration", f"PSNR: {k}", "e", "v", "c", "f", None, float(k), "3 models") for k in range(many)]
    way = verdicts.Row(verdicts.MECHANISM, "way 2", "e", "v", "c", "f", None, 2.0, "3 seeds")
    ways = [
        way,
        replace(way, question="way 1", value=1.0),
        replace(way, question="back", value=0.1, given_back=True, new=False),
    ]
    shown = [question for question, _ in front.on_screen([*ways, *mended])]
    assert shown[:2] == ["back", "Best of 2 that give none back: way 1"] and len(shown) == 2 + left
    if many > 2:
        assert shown[2:] == [f"PSNR, best of {many}: {many - 1}", f"PSNR, worst of {many}: 0"]


def test_a_profile_of_the_two_reports_alone_has_no_empty_table():
    text = front.markdown(Records("full"))
    assert "|" not in text and "not measured" not in text and "[Read on]" in text
    assert text.count("data:image/png") == 2 and "Report B's DDPM, the first samples, a row each: alone; " in text
    assert re.search(r"<b>The two reports at their own size:</b> \d+ of 60 runs are done. Of \d+ claims judged on them, ", text)
    reports = front.reports_in_short(Records("full"), page=True)
    assert [reports.count(f"| report {one}'s DDPM, n = ") for one in ("A", "B")] == [1, 1] and "{#tab-00_b}" in reports
    assert "{#" not in front.reports_in_short(Records("full"))


def test_what_is_tested_of_the_reports_at_their_own_size_is_said_and_what_random_weights_made(monkeypatch):
    monkeypatch.setattr(Lab, "random_weights", lambda self, shown: " Random." * ("trained on 2conv outputs" in shown))
    text = front.reports_in_short(Records("full"))
    assert text.count("Random.") == 1
    whole, lacking = Records("full"), Records("full", without=("b-combined-published",))
    assert re.search(r"3 seeds: \*\*higher\*\* \(p = [^)]*Holm over 2\)\. No verdict, since", text.split("report B's DDPM")[1])
    assert findings.of_own_size(whole, "B")[0].startswith(
        "FD over that of the DDPM alone. Corrected, DDPM trained on DIP outputs: "
    )
    assert not findings.of_own_size(lacking, "B")[0].startswith("FD over that")  # no pair as published


@pytest.mark.slow
def test_the_table_of_all_comparisons_has_a_row_each():
    rows = verdicts.rows(LAB)
    table = verdicts.listed(rows)
    assert len(table) == len(rows) and not table["for the DIP"].str.contains(r"\*").any()


def test_the_screen_holds_both_answers_one_table_and_one_picture():
    text = front.markdown(LAB)
    assert text.count('<p class="answer">') == 2 and text.count("data:image/png") == 1
    assert text.count("| question |") == 1 and "#fig-04_" in text and "**standard**" in text


WINS = [(0.9, None, "no gain"), (float("nan"), None, "not judged"), (0.001, True, "better")]


@pytest.mark.parametrize(("near", "better", "said"), WINS)
@pytest.mark.slow
def test_a_start_that_gives_images_back_or_may_do_so_wins_nothing(near, better, said):
    lab = Records()
    fds = {"dip": 1.0, "real": 0.1}
    for group in ("main-starts", "main-noise-3"):
        if group in lab.profile.groups:
            lab.set(group, fd=lambda record, label, value: fds.get(label, 10.0), own_source_rate=lambda *_: near)
            lab.set(group, copy_rate=lambda *_: 0.01, copy_rate_floor=lambda *_: 0.01)
    rows = verdicts.rows(lab)
    (found,) = (row for row in rows if row.question.startswith("Started"))
    assert found.better is better and found.given_back is (near == 0.9) and said in found.verdict
    back = sum(row.given_back for row in rows)
    assert f", {back} gave back training images or variants of them." in front.generation(rows)


@pytest.mark.parametrize(("near", "back"), [(0.9, True), (0.01, False)])
def test_a_mechanism_whose_samples_are_training_images_gains_nothing(near, back):
    lab = holding("main", "main-drawn")
    lab.set("main-drawn", fd=lambda record, label, _: 2.0 if label == "baseline" else 0.1, own_source_rate=lambda *_: near)
    lab.set("main-drawn", copy_rate=lambda *_: 0.01, copy_rate_floor=lambda *_: 0.01)
    (row,) = (row for row in verdicts.rows(lab) if row.question.startswith("DIP-shifted process"))
    assert row.given_back is back and ("no gain" in row.verdict) is back and "FD vs. DDPM alone, 12 calls" in row.question


@pytest.mark.parametrize("recall", [0.01, 0.4])
def test_models_that_draw_no_images_give_no_verdict(recall):
    lab = moved(3.0)
    for name in ("main", "ddpm"):
        lab.set(name, recall=lambda *_: recall)
    drawn = [row for row in verdicts.rows(lab) if row.job != "restoration"]
    closed = recall < 0.05
    assert drawn and all((row.verdict == "not testable") is closed for row in drawn)
    text = front.markdown(lab)
    assert ("<b>Drawing new images: not testable at this size:</b> the samples of the DDPM alone" in text) is closed
    assert ("**No verdict at this size**" in "\n".join(conclusions.found(lab))) is closed
    assert ("its hardest rival" in text) is not closed


def test_what_is_trained_on_dip_outputs_alone_is_one_comparison_not_two():
    lab = Records("quick")
    assert {record.name for record in lab.seeds("ddpm-on-dip")} == set(lab.frame("mechanisms", "curriculum")["name"])
    assert not any("DIP outputs first" in row.question for row in verdicts.rows(lab))
