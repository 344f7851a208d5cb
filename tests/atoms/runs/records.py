"""What runs have written, so that two of them can be compared.

At which step of the run a row or a frame was made depends on when slots were refilled, and so on the machine's pace.
So they are put in the order of the structures and their own steps, and the step of the run is left out.
"""

import csv
import re


def logged(path):
    """The rows of a log."""
    with path.open() as file:
        rows = [{name: row[name] for name in row if name != "step"} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: (int(row["system_id"]), int(row["system_step"])))


def frames(path):
    """The frames of a trajectory."""
    lines = re.sub(r" step=\d+", "", path.read_text()).splitlines(keepends=True)
    found, start = [], 0
    while start < len(lines):
        end = start + 2 + int(lines[start])
        names = [int(re.search(rf" {word}=(\d+)", lines[start + 1])[1]) for word in ("system_id", "system_step")]
        found.append((*names, "".join(lines[start:end])))
        start = end
    return sorted(found)
