"""The kinds a user can choose by name: one table of words, so that listing them imports nothing.

A new optimizer, wavefunction or writer is one class and one line here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FAMILIES", "SECTIONS", "Family", "Kind"]


@dataclass(frozen=True)
class Kind:
    """A class that can be chosen by name: where it lives (`package.module:Class`) and one line about it.

    For a section of the configuration: the dataclass of its settings and what it is about.
    """

    target: str
    summary: str


@dataclass(frozen=True)
class Family:
    """Kinds that can stand in for each other.

    `default` is the kind meant when settings are given without one. With `number`, a plain number will do.
    `foreign` are packages whose kinds can be chosen too, as `package:name`: the `target` of each is a function
    that makes the class of a name.
    """

    singular: str
    summary: str
    kinds: dict[str, Kind]
    default: str | None = None
    number: bool = False
    foreign: dict[str, Kind] = field(default_factory=dict)


FAMILIES: dict[str, Family] = {
    "wavefunctions": Family(
        "wavefunction",
        "the form of the many-electron wavefunction",
        {
            "ferminet": Kind(
                "adiabat.electrons.wavefunctions.ferminet:FermiNet",
                "determinants of orbitals that see all electrons, one- and two-electron streams",
            ),
            "psiformer": Kind(
                "adiabat.electrons.wavefunctions.psiformer:Psiformer",
                "determinants of orbitals that see all electrons, by self-attention",
            ),
        },
    ),
    "optimizers": Family(
        "optimizer",
        "how the parameters follow the energy downhill",
        {
            "sr": Kind(
                "adiabat.vmc.optimizers.sr:SROptimizer",
                "stochastic reconfiguration with momentum (SPRING): few costly steps, the default",
            ),
            "kfac": Kind(
                "adiabat.vmc.optimizers.kfac:KFACOptimizer",
                "natural gradient in Kronecker-factored blocks: many steps at about the price of Adam's",
            ),
            "adam": Kind("adiabat.vmc.optimizers.first_order:AdamOptimizer", "Adam of Optax: many cheap steps"),
            "lamb": Kind(
                "adiabat.vmc.optimizers.first_order:LambOptimizer",
                "LAMB of Optax: Adam, with steps in units of what is moved",
            ),
        },
        foreign={
            "optax": Kind(
                "adiabat.vmc.optimizers.optax_by_name:optax_optimizer",
                "any optimizer of Optax, such as optax:adabelief",
            ),
        },
    ),
    "schedules": Family(
        "schedule",
        "how a number changes from step to step; a plain number stays as it is",
        {
            "standard": Kind(
                "adiabat.engine.schedules:Standard",
                "rate * (1 / (1 + step / delay)) ** decay",
            ),
            "constant": Kind("adiabat.engine.schedules:Constant", "the same at every step, as a number is"),
            "linear": Kind("adiabat.engine.schedules:Linear", "a line from one number to another, then level: a ramp"),
            "cosine": Kind("adiabat.engine.schedules:Cosine", "half a cosine down, then level"),
            "warmup": Kind("adiabat.engine.schedules:WarmUp", "a line up from 0, then another schedule"),
            "auto": Kind(
                "adiabat.vmc.optimizers.auto_damping:AutoDamping", "of damping only: by a trust ratio, step by step"
            ),
            "piecewise": Kind("adiabat.engine.schedules:Piecewise", "level between given steps"),
        },
        default="standard",
        number=True,
    ),
    "potentials": Family(
        "potential",
        "the energy of atoms, and with it forces and stress",
        {
            "lennard-jones": Kind(
                "adiabat.atoms.potentials.lennard_jones:LennardJones",
                "12-6, noble gases built in, other pairs of elements given",
            ),
            "morse": Kind("adiabat.atoms.potentials.morse:Morse", "wells of bonds, by pairs of elements"),
            "soft-sphere": Kind("adiabat.atoms.potentials.soft_sphere:SoftSphere", "repulsion where spheres overlap"),
            "harmonic": Kind("adiabat.atoms.potentials.harmonic:Harmonic", "each atom on a spring to its site"),
            "sum": Kind("adiabat.atoms.potentials.sum_of_potentials:SumOfPotentials", "several at once"),
            "function": Kind(
                "adiabat.atoms.potentials.from_function:FromFunction",
                "your own energy of one system, written in JAX, as package.module:function",
            ),
            "chgnet": Kind(
                "adiabat.atoms.potentials.chgnet:CHGNet",
                "a neural network for crystals of any elements (pip install 'adiabat[chgnet]')",
            ),
            "torch": Kind("adiabat.atoms.potentials.torch_model:TorchPotential", "a model of your own, in torch"),
            "ase": Kind("adiabat.atoms.potentials.ase_calculator:ASECalculator", "any calculator of ASE"),
        },
    ),
    "dynamics": Family(
        "dynamics",
        "how atoms move: downhill, or in time",
        {
            "fire": Kind("adiabat.atoms.integrators.fire:FIRE", "relaxation by inertia, by the rule of ASE"),
            "fire2": Kind("adiabat.atoms.integrators.fire2:FIRE2", "relaxation by inertia, the later rule"),
            "gradient-descent": Kind(
                "adiabat.atoms.integrators.gradient_descent:GradientDescent", "relaxation straight downhill"
            ),
            "nve": Kind("adiabat.atoms.integrators.nve:NVE", "constant energy, by velocity Verlet"),
            "nvt-langevin": Kind(
                "adiabat.atoms.integrators.nvt_langevin:NVTLangevin",
                "constant temperature by friction and noise (BAOAB)",
            ),
            "nvt-nose-hoover": Kind(
                "adiabat.atoms.integrators.nvt_nose_hoover:NVTNoseHoover",
                "constant temperature by a chain of thermostats",
            ),
        },
    ),
    "samplers": Family(
        "sampler",
        "how walkers are drawn from |psi|^2",
        {"mcmc": Kind("adiabat.vmc.sampling:MCMCSampler", "Metropolis moves of adapted width")},
    ),
    "loss_grads": Family(
        "loss gradient",
        "how the gradient of the energy is taken",
        {"energy": Kind("adiabat.vmc.gradient:LossAndGrad", "of the mean energy, outliers clipped")},
    ),
    "writers": Family(
        "writer",
        "where the metrics of each step go",
        {
            "csv": Kind("adiabat.io.writers:CSVWriter", "comma-separated values, one file a stage"),
            "jsonl": Kind("adiabat.io.writers:JSONLinesWriter", "JSON lines, one file a stage"),
            "hdf5": Kind("adiabat.io.writers:HDF5Writer", "HDF5, one file a stage, appended in segments"),
        },
    ),
}

SECTIONS: dict[str, Kind] = {
    "system": Kind("adiabat.electrons.energy_plan:MoleculeConfig", "charge, spin and unit of the molecule"),
    "pretrain": Kind("adiabat.electrons.pretrain:PretrainConfig", "start from Hartree-Fock orbitals"),
    "train": Kind(
        "adiabat.vmc.stages:VMCWorkStageConfig",
        "the energy downhill; defaults of a run: --show-config",
    ),
    "evaluate": Kind(
        "adiabat.vmc.stages:EvaluationWorkStageConfig",
        "the energy and its error bar; defaults of a run: --show-config",
    ),
    "structures": Kind("adiabat.atoms.runs.plan:StructuresConfig", "the structures that are relaxed or moved"),
    "relax": Kind("adiabat.atoms.integrators.fire:FIRE", "how structures relax; a kind of dynamics"),
    "md": Kind("adiabat.atoms.integrators.nvt_langevin:NVTLangevin", "how structures move; a kind of dynamics"),
    "batch": Kind("adiabat.atoms.runs.plan:BatchConfig", "how many structures are under way at once"),
    "record": Kind("adiabat.atoms.runs.plan:RecordConfig", "what is written while structures relax or move"),
}
"""Sections of a run that are no families of kinds."""
