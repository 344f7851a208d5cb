"""Files: structures in, metrics out, and the folder that holds a run. Each name is imported when first used."""

from typing import TYPE_CHECKING

from adiabat.lazy import lazily

if TYPE_CHECKING:
    from adiabat.io.atomic import atomic_file, write_json, write_text
    from adiabat.io.run_folder import RunFolder
    from adiabat.io.structures import Frame, Structure, UnreadableFrame, read_structure, read_structures
    from adiabat.io.writers import ConsoleLines, CSVWriter, HDF5Writer, JSONLinesWriter, RowWriter, row_writer

__all__ = [
    "CSVWriter",
    "ConsoleLines",
    "Frame",
    "HDF5Writer",
    "JSONLinesWriter",
    "RowWriter",
    "RunFolder",
    "Structure",
    "UnreadableFrame",
    "atomic_file",
    "read_structure",
    "read_structures",
    "row_writer",
    "write_json",
    "write_text",
]

_HOMES = {
    "adiabat.io.atomic": ("atomic_file", "write_json", "write_text"),
    "adiabat.io.run_folder": ("RunFolder",),
    "adiabat.io.structures": ("Frame", "Structure", "UnreadableFrame", "read_structure", "read_structures"),
    "adiabat.io.writers": (
        "CSVWriter", "ConsoleLines", "HDF5Writer", "JSONLinesWriter", "RowWriter", "row_writer",
    ),
}  # fmt: skip

__getattr__ = lazily(__name__, _HOMES)
