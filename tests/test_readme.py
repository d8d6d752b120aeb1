"""README: its answer is the one that the records give, and its worked example works."""

import re
from pathlib import Path

import torch

from dipddpm_utils import priors, ranges, schedule
from dipddpm_utils.__main__ import README_MARKS, strongest
from dipddpm_utils.config import Diffusion

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_answer_is_computed_from_the_committed_records():
    from dipddpm_utils import prose
    from dipddpm_utils.lab import Lab

    begin, end = README_MARKS
    written = README.split(begin)[1].split(end)[0].strip()
    lab = Lab(strongest(ROOT / "results"), str(ROOT / "results"))
    lab.store.records_only = True
    assert written == prose.readme_block(lab).strip(), "run `python -m dipddpm_utils report`"


def test_the_worked_example_of_a_new_prior():
    code = re.search(r"```python\n(@start.*?)```", README, re.DOTALL).group(1)
    try:
        exec(code, {"start": priors.start, "ranges": ranges})
        train = torch.arange(5, dtype=torch.uint8).mul(50).view(5, 1, 1, 1).expand(5, 1, 28, 28)
        context = priors.Context(train=train, coefs=schedule.coefficients(Diffusion()))
        made = priors.STARTS["median"](context, 3, torch.Generator())
        assert made.shape == (3, 1, 28, 28)
        torch.testing.assert_close(made, torch.full_like(made, 100 / 127.5 - 1))
    finally:
        priors.STARTS.pop("median", None)


def test_every_command_and_file_that_it_names_is_there():
    for name in re.findall(r"`(dipddpm_utils/[\w./]+|results/README\.md|CITATION\.cff|CHANGELOG\.md)`", README):
        assert (ROOT / name).exists(), name
