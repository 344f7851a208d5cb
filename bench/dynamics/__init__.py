"""Batched dynamics next to the programs that people use for it now: ASE, TorchSim, nvalchemi-toolkit and jax-md.

Three tasks (`tasks`), the same numbers in for everybody; each program in a process of its own (`programs`), in an
environment of its own (`environments`), on one core with one thread, taking turns (`contest`). Here nothing is
imported: the programs are run where adiabat is not installed.
"""
