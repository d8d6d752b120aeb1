"""The script that notebook 03 offers to copy runs as it stands, here with few steps."""

import json
import re
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "notebooks/03_ddpm_baseline.ipynb"
SIZES = "DIP_STEPS, DDPM_STEPS, BATCH, CALLS, T_START, N = "


def test_the_script_to_copy_runs_and_is_short(capsys):
    cells = {cell["id"]: "".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]}
    (script,) = re.findall(r"```python\n(.*?)```", cells["homework"], flags=re.DOTALL)
    assert script.count("\n") < 60 and SIZES in script
    names: dict = {}
    exec(compile(re.sub(re.escape(SIZES) + ".*", SIZES + "2, 2, 4, 5, 600, 3", script), "homework", "exec"), names)
    assert names["joined"].shape == names["control"].shape == (3, 1, 28, 28)
    assert 1 <= names["calls"] < 5 and names["joined"].isfinite().all()
    assert "3 calls each" in capsys.readouterr().out
