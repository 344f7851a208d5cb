"""The command line: `adiabat energy LiH`. From Python use `adiabat` itself; nothing here is for import."""
