"""README: its answer is the one that the records give, and its worked example works."""

import inspect
import re
import textwrap
from pathlib import Path

import torch

from dipddpm_utils import ranges
from dipddpm_utils.__main__ import README_MARKS
from dipddpm_utils.config import Diffusion
from dipddpm_utils.ddpm import schedule
from dipddpm_utils.priors import guidance, starts
from dipddpm_utils.store.runs import Store
from dipddpm_utils.study import mechanisms, profile

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_answer_is_computed_from_the_committed_records():
    from dipddpm_utils import answer
    from dipddpm_utils.page.lab import Lab

    begin, end = README_MARKS
    written = README.split(begin)[1].split(end)[0].strip()
    lab = Lab(answer.strongest(ROOT / "results"), str(ROOT / "results"))
    lab.store.records_only = True
    assert written == answer.readme_block(lab).strip(), "run `python -m dipddpm_utils report`"


def test_the_worked_example_of_a_new_prior():
    code = re.search(r"```python\n(@start.*?)```", README, re.DOTALL).group(1)
    try:
        exec(code, {"start": starts.start, "ranges": ranges})
        train = torch.arange(5, dtype=torch.uint8).mul(50).view(5, 1, 1, 1).expand(5, 1, 28, 28)
        context = starts.Context(train=train, coefs=schedule.coefficients(Diffusion()))
        made = starts.STARTS["median"](context, 3, torch.Generator())
        assert made.shape == (3, 1, 28, 28)
        torch.testing.assert_close(made, torch.full_like(made, 100 / 127.5 - 1))
    finally:
        starts.STARTS.pop("median", None)


def test_the_worked_example_of_a_new_mechanism(tmp_path, monkeypatch):
    """The function and the line as README shows them give a run in the group, and the run gives a record."""
    code = re.search(r"```python\n(@opinion.*?)```", README, re.DOTALL).group(1)
    line = re.search(r"```python\n(case\(.*?)```", README, re.DOTALL).group(1)
    longer = vars(mechanisms).copy()
    exec(inspect.getsource(mechanisms.mechanisms) + textwrap.indent(line, "    "), longer)
    monkeypatch.setattr(guidance, "OPINIONS", dict(guidance.OPINIONS))
    monkeypatch.setattr(mechanisms, "mechanisms", longer["mechanisms"])
    exec(code, {"opinion": guidance.opinion, "ranges": ranges})
    members = [m for m in profile.load.__wrapped__("smoke").group("mechanisms") if m.label == "median"]
    assert [m.value for m in members] == [0.1] and members[0].entry.name == "mechanisms-median-s0"
    assert Store(tmp_path, "smoke", device="cpu").ensure(members[0].entry.run).metrics["fd"] > 0


def test_every_command_and_file_that_it_names_is_there():
    for name in re.findall(r"`(dipddpm_utils/[\w./]+|results/README\.md|CITATION\.cff|CHANGELOG\.md)`", README):
        assert (ROOT / name).exists(), name
