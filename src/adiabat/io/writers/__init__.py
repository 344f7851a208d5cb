"""Writers of rows of metrics: one file for each stage and format."""

from adiabat.io.writers.base import RowWriter, row_writer
from adiabat.io.writers.console import ConsoleLines
from adiabat.io.writers.csv_file import CSVWriter
from adiabat.io.writers.hdf5_file import HDF5Writer
from adiabat.io.writers.json_lines import JSONLinesWriter

__all__ = ["CSVWriter", "ConsoleLines", "HDF5Writer", "JSONLinesWriter", "RowWriter", "row_writer"]
