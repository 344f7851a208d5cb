"""Where finished systems go: memory, HDF5, and files that ASE reads."""

from adiabat.atoms.sinks.ase_sink import ASESink
from adiabat.atoms.sinks.hdf5_sink import HDF5Sink
from adiabat.atoms.sinks.memory_sink import MemorySink
from adiabat.atoms.sinks.sink import Sink, write_to

__all__ = ["ASESink", "HDF5Sink", "MemorySink", "Sink", "write_to"]
