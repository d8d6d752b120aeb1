"""What the theory and its checks found, as sentences computed from records (notebook 01)."""

import math
from typing import Any

from dipddpm_utils.page.names import look
from dipddpm_utils.page.prose import bullets, count, factor, number, percent
from dipddpm_utils.theory.gaussian import Cost

CHECKS = {  # of the Gaussian run: title, x axis, y axis of its panel
    "q_variance": ("forward process $q(x_t)$", "step $t$", "variance of $x_t$"),
    "posterior_variance": ("posterior given $x_0$ and $x_t$", "step $t$", "variance"),
    "optimal_eps_error": ("least possible loss", "step $t$", r"error of $\epsilon$ (MSE)"),
    "ddim_variance": ("whole DDIM chain", "network calls", "variance of $x_0$"),
    "ancestral_variance": ("whole ancestral chain", "network calls", "variance of $x_0$"),
    "output_shift": ("shift that reaches the output", "t_start", "shift of the mean"),
    "start_bound": ("distance from the right start's output", "t_start", "total variation"),
}


def checks(record: Any) -> str:
    """How far each closed form of the Gaussian run is from its measurement."""
    m, lines = record.metrics, []
    for name, own in record.evals.groupby("check", sort=False):
        cases = len(own)
        if name.endswith("_bound"):
            cases = int((own["mismatch"] > 0).sum())
            said = f"the bound holds in {cases - int(m[f'{name}_violations'])} of {cases} cases with a wrong start"
        elif (worst := m[f"{name}_max_relative_error"]) < 1e-9:  # measured on pairs with the same noise, which cancels
            said = f"equal to the closed form up to rounding in all {cases} cases"
        else:
            inside = f"{count(m[f'{name}_covered'] * cases)} of {cases} within the 95% interval"
            said = f"{inside}, off by {percent(worst)} at most"
        title, _, measured = CHECKS[name]
        lines.append(f"{title[0].upper()}{title[1:]}, {measured}: {said}.")
    return bullets(lines)


def mismatch(record: Any) -> str:
    """What is left of a wrong start, and how tight the bound is."""
    rows = record.evals[(record.evals["check"] == "start_bound") & (record.evals["mismatch"] > 0)]
    worst = rows[rows["mismatch"] == rows["mismatch"].max()].sort_values("x")
    early, late = worst.iloc[0], worst.iloc[-1]
    share = (rows["measured"] / rows["expected"]).median()
    cases = [
        f"{number(row['measured'], 2)} at t = {row['x']:.0f} (bound {number(row['expected'], 2)})" for row in (early, late)
    ]
    return (
        f"If a start's mean is off by {number(worst['mismatch'].iloc[0], 2)} data std, the output is off by a total variation "
        f"of {' and of '.join(cases)}. This chain (DDIM, the optimal denoiser) maps one-to-one and keeps $D$. The gap is "
        f"Pinsker's slack; the median case reaches {percent(share)} of the bound."
    )


def few_steps(record: Any) -> str:
    """What the fewest and the most steps make of the data's variance, with a perfect network."""
    evals = record.evals
    real = record.metrics["data_variance"]
    parts = []
    for name, label in (("ddim_variance", "DDIM"), ("ancestral_variance", "the ancestral sampler")):
        rows = evals[evals["check"] == name].sort_values("x")
        few, many = ((percent(row["expected"] / real, 3), f"{row['x']:.0f}") for _, row in rows.iloc[[0, -1]].iterrows())
        parts.append(f"{label} reaches {few[0]} of the data's variance in {few[1]} steps and {many[0]} in {many[1]}")
    return f"{'; '.join(parts)}."


def spectrum(record: Any) -> str:
    """What is missing of the lowest and the highest band, for images and for noise: when an image's lowest one is there, and
    at the end."""
    left = record.evals.pivot(index="iteration", columns=["target", "band"], values="relative_error")
    bands, there = record.evals["band"], left.index[left["image", record.evals["band"].min()] <= 0.1]
    lines, last = [], left.index[-1]
    for iteration in dict.fromkeys((there[0] if len(there) else last, last)):
        missing = []
        for target, name in (("image", "clean image"), ("noisy", "noisy image"), ("noise", "pure noise")):
            low, high = (percent(left.loc[iteration, (target, end)]) for end in (bands.min(), bands.max()))
            missing.append(f"{name} {low} and {high}")
        lines.append(f"After {iteration} iterations: {', '.join(missing)}.")
    return f"Error left by the {look(record.run.net).label} in the lowest and in the highest band. {' '.join(lines)}"


def break_even(cost: Cost, limit: Any = None) -> str:
    """Images beyond which the prior pays, from measured seconds. limit: the logarithm of their number over seeds, if known."""
    calls = f"{number(1 / cost.fraction, 2)} times as many noise levels"
    chain = f"a whole chain, with {calls}, takes {number(1000 * cost.chain_seconds)} ms per image"
    if math.isinf(cost.break_even_images):
        pays = "never pays: the prior costs more per image than it saves."
    elif limit is None:
        pays = "saves time with some seeds only."
    elif math.isfinite(limit.high):
        most = count(math.exp(limit.high))
        pays = f"saves time beyond **{most} images**, the upper end of the interval: {factor(limit)}, {limit.n} seeds."
    else:
        pays = f"saves time once more than **{count(cost.break_even_images)} images** are drawn."
    said = f"A start at t = {cost.t_start} {pays} It saves none against a chain from noise with as few calls. The prior takes "
    return f"{said}{number(cost.prior_seconds)} s to fit; {chain}."
