"""What is best for its seconds, by the committed records: who is on the front, and how methods are called."""

import pandas as pd
from labs import Records

from dipddpm_utils.page import names as looks_of
from dipddpm_utils.page import play
from dipddpm_utils.page.compare import copies
from dipddpm_utils.priors import comparisons, findings, mechanisms

LAB = Records()
FRAME = mechanisms.table_of(LAB)


def test_neither_copiers_nor_oracles_are_on_the_front():
    frame = FRAME.assign(fd=FRAME["fd"].where(~FRAME["label"].isin(["condition blur", "start real"]), 0.01))
    shown = {label for label, _, _ in findings.front(frame)}
    copiers = {label for label, _, rows in mechanisms.settings(frame) if copies(rows).many}
    assert shown and copiers and not shown & (copiers | {"start real"})
    assert "blur as a condition (100% look copied)" in findings.on_the_front(LAB)


def test_seconds_that_only_noise_tells_apart_are_one_point():
    cost = findings.at_equal_cost(FRAME)
    assert cost["baseline", 0] == cost["ddim sampler", 0] < cost["guidance", 0.1]  # the first two draw from one model
    slower = FRAME.assign(cost=FRAME["cost"].where(FRAME["label"] != "ddim sampler", 2 * FRAME["cost"]))
    apart = findings.at_equal_cost(slower)
    assert apart["ddim sampler", 0] > 1.5 * apart["baseline", 0]


def test_a_ddpm_alone_is_called_by_its_steps():
    names = {mechanisms.in_words(FRAME, "baseline"), comparisons.alone(LAB, "ddpm"), comparisons.alone(LAB, "ddpm-more")}
    assert len(names) == 3 and all(name.startswith("DDPM alone, ") and name.endswith(" steps") for name in names)


def test_every_start_and_step_is_in_the_figure_to_play_with_and_it_is_small():
    starts = LAB.frame("starts")
    first = [record for record in LAB.seeds("starts") if record.seed == 0]
    html = play.starts(starts, first, "04_play", comparisons.over_t_start(starts))
    panels = pd.unique(starts["label"] + starts["value"].astype(str))
    assert html.count("data-prior=") == len(panels) and len(html) < 400_000 and 'id="fig-04_play"' in html


def test_what_was_found_names_the_figure_of_every_line():
    said = comparisons.found(LAB)
    assert said and all("](#fig-04_" in line for line in said.splitlines())
    assert comparisons.found(Records(without=("main", "ddpm", "starts", "mechanisms", "restore"))).startswith(
        "Not yet measured"
    )


def test_a_mechanism_meets_each_rival_and_is_counted_only_if_shown_better():
    said, gaps = findings.mechanism(LAB, "condition"), mechanisms.gaps(FRAME)
    rivals = dict(mechanisms.against(FRAME, "condition", 1.0))
    assert all(f"- {mechanisms.in_words(FRAME, rival)}: " in said for rival in rivals) and len(rivals) == 3
    better = {own for (own, _, rival), gap in gaps.items() if rival == "baseline" and gap.decided and gap.value < 0}
    count = findings.headcount(LAB)
    assert "Of 7 mechanisms measured" in count and ("none was" in count) == (not better & set(looks_of.mechanisms()))
    assert "no run of it" in findings.mechanism(Records(without=("mechanisms",)), "shift")
