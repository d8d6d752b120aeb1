"""What the two reports printed: numbers read off their figures and tables, as data (published_curves.csv).

report, quantity, run, x, value. Quantities: `fid` (x: training step; Inception features of 30 images, read off a figure),
`dip_loss` (x: epoch; mean squared error), `seconds` (of a training; x: epochs for b-ddpm, else number of the ablation row).
"""

from pathlib import Path

import pandas as pd

PRINTED = (
    pd.read_csv(Path(__file__).with_name("published_curves.csv")).set_index(["quantity", "run", "x"])["value"].sort_index()
)
VARIANTS = ("a-ddpm", "a-2conv", "a-resnet18")  # report A's three: alone, trained on 2conv outputs, on ResNet-18 outputs
SETTINGS: dict[str, dict[str, str]] = {  # of their models, where the run at their size (profile full) does not tell
    "a-ddpm": {"parameters": "35.7 million", "sampler": "ancestral, 1000 calls", "training (s)": "not printed"},
    "b-ddpm": {"U-Net": "a small one", "parameters": "606\u202f852", "sampler": "not noted", "training (s)": "460 (P100)"},
    "a-dip-2conv": {"parameters": "3\u202f523", "first weights": "random weights", "fit (s)": "not printed"},
    "a-dip-resnet18": {"parameters": "13\u202f971\u202f251", "first weights": "ImageNet weights", "fit (s)": "not printed"},
    "b-dip": {"parameters": "296\u202f449", "first weights": "random weights", "fit (s)": "not counted (FB4)"},
}
FID_CHANGE = 5.0  # claim A5: ResNet-18 against 2conv changes the FID by less than this


def fid(run: str) -> pd.Series:
    """Report A's FID of one variant, by training step. KeyError if it printed none."""
    return PRINTED.loc["fid", run]


def row_seconds(number: int) -> float:
    """What report B says the training of its ablation row `number` (0 to 5) took. KeyError if there is no such row."""
    return float(PRINTED.loc["seconds"].drop("b-ddpm").xs(number, level="x").iloc[0])


def dip_loss(run: str) -> float:
    """The DIP's last loss as report A printed it, corrected to a mean squared error."""
    return float(PRINTED.loc["dip_loss", run].iloc[-1])


def same_fid() -> float:
    """Claim A5's margin of 5 FID as a share of the published FID of the DDPM alone: another feature space has another unit."""
    return FID_CHANGE / float(fid("a-ddpm").mean())
