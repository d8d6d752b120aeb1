"""Small notebooks made for tests, as the driver expects them: a title, a parameters cell, then code."""

import json
from pathlib import Path

import nbformat

PARAMETERS = 'profile = "quick"  # one of four\nresults = ""\nsteps = 3\nrate = 0.5\nname = "a"\nflag = False'


def made(path: Path, *code: str, parameters: str = PARAMETERS, text: str = "# A title") -> Path:
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    cells = [nbformat.v4.new_markdown_cell(text), tagged, *map(nbformat.v4.new_code_cell, code)]
    about = {"kernelspec": {"name": "someone-elses-kernel", "display_name": "x", "language": "python"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=about), path)
    return path


def outputs(path: Path) -> list[dict]:
    return [output for cell in json.loads(path.read_text())["cells"] for output in cell.get("outputs", ())]
