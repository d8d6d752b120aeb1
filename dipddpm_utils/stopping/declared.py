"""The rules for stopping a fit to y = x + std n: what each is called, which fit it watches, and what it knows."""

from typing import NamedTuple


class Rule(NamedTuple):
    """A rule whose `fit` is not '' watches that one, "plain" to y, "halves" to y1 or "staged" to each y_k, by a score."""

    title: str
    fit: str = ""
    below: bool = False  # it stops where its score is what the noise explains; the others where it is least
    knows: str = "nothing"  # besides y
    fits: int = 1  # two: it stops the plain one where the validated one says, so that y is used whole


RULES = {  # in the order in which they are shown
    "end": Rule("no stop"),
    "fixed": Rule("fixed budget", knows="clean training images"),  # by which the budget was chosen beforehand
    "wmv": Rule("ES-WMV", "plain"),
    "emv": Rule("ES-EMV", "plain"),
    "discrepancy": Rule("discrepancy", "plain", below=True, knows="std"),
    "halves": Rule("two halves", "halves", knows="std", fits=2),
    "staged": Rule("staged levels", "staged", below=True, knows="std"),
    "oracle": Rule("oracle", knows="the clean image"),
}
