"""One call of a torch model for systems that stand one after the other, and the derivatives of what it gives."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adiabat.errors import InputError


class Results(NamedTuple):
    """Of S systems and their n atoms, in eV and angstrom."""

    energy: NDArray[np.float64]  # (S,)
    forces: NDArray[np.float64]  # (n, 3)
    stress: NDArray[np.float64]  # (S, 3, 3)


def import_torch() -> Any:
    """PyTorch.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"torch cannot be imported ({error}): install it with `pip install torch`, or with CHGNet by "
            "`pip install 'adiabat[chgnet]'`"
        ) from error
    return torch


def wanted_by(model: Callable[..., Any]) -> dict[str, bool]:
    """Names of the arguments of a model, and whether each must be given."""
    torch = import_torch()
    function = model.forward if isinstance(model, torch.nn.Module) else model
    return {
        each.name: each.default is each.empty
        for each in inspect.signature(function).parameters.values()
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    }


def evaluated(
    model: Callable[..., Any],
    inputs: Mapping[str, NDArray],
    *,
    dtype: str = "float32",
    device: str = "cpu",
    threads: int | None = None,
    stress: bool = True,
) -> Results:
    """What a model gives for these inputs, and derivatives of the energy for what it does not give.

    Parameters
    ----------
    model
        See `TorchPotential`.
    inputs
        By name; ``positions`` (n, 3), ``cell`` (S, 3, 3) and ``batch`` (n,) among them.
    dtype, device, threads
        See `TorchPotential`.
    stress
        Whether it is wanted; if not it is zero.

    Raises
    ------
    InputError
        If the model gives no energies, or such as cannot be differentiated.
    """
    torch = import_torch()
    real = getattr(torch, dtype)
    with _threads(torch, threads), torch.enable_grad():
        tensors = {name: _tensor(torch, array, real, device) for name, array in inputs.items()}
        positions, strain = tensors["positions"].requires_grad_(), torch.zeros_like(tensors["cell"], requires_grad=True)
        deformation = torch.eye(3, dtype=real, device=device) + 0.5 * (strain + strain.mT)
        tensors["positions"] = torch.bmm(positions[:, None], deformation[tensors["batch"]])[:, 0]
        tensors["cell"] = tensors["cell"] @ deformation
        given = model(**{name: tensors[name] for name in wanted_by(model) if name in tensors})
        given = given if isinstance(given, Mapping) else {"energy": given}
        energy = _energies(torch, model, given.get("energy"), len(inputs["cell"]))
        found = {name: given[name].detach() for name in ("forces", "stress") if given.get(name) is not None}
        if "forces" not in found or (stress and "stress" not in found):
            _check_differentiable(model, energy)
            slope, virial = torch.autograd.grad(
                energy.sum(), [positions, strain], allow_unused=True, materialize_grads=True
            )
            found = {"forces": -slope, "stress": _per_volume(virial, inputs["cell"]), **found}
    if not stress:
        found["stress"] = torch.zeros_like(strain)
    return Results(*(_array(each) for each in (energy, found["forces"], found["stress"])))


def _energies(torch: Any, model: Any, energy: Any, n_systems: int) -> Any:
    name = getattr(model, "__name__", type(model).__name__)
    if not isinstance(energy, torch.Tensor):
        raise InputError(f"the torch model '{name}' gives {energy!r} for the energies; expected a tensor")
    if energy.shape != (n_systems,) or not energy.is_floating_point():
        raise InputError(
            f"the torch model '{name}' gives energies {energy.dtype}{list(energy.shape)}; "
            f"expected one real number a system, [{n_systems}]"
        )
    return energy


def _check_differentiable(model: Any, energy: Any) -> None:
    if not energy.requires_grad:
        name = getattr(model, "__name__", type(model).__name__)
        raise InputError(
            f"the energy of the torch model '{name}' cannot be differentiated by the positions: "
            "leave out detach() and no_grad(), or give 'forces' and 'stress', too"
        )


def _per_volume(virial: Any, cell: NDArray) -> Any:
    volume = np.abs(np.linalg.det(cell))
    inverse = np.divide(1.0, volume, out=np.zeros_like(volume), where=volume > 0)
    return virial * virial.new_tensor(inverse)[:, None, None]


@contextmanager
def _threads(torch: Any, threads: int | None) -> Iterator[None]:
    """With so many threads of torch, and after that with as many as before."""
    before = torch.get_num_threads()
    if threads is None or threads == before:
        yield
        return
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _tensor(torch: Any, array: NDArray, real: Any, device: str) -> Any:
    kind = {"f": real, "i": torch.int64, "u": torch.int64, "b": torch.bool}[array.dtype.kind]
    return torch.tensor(array, dtype=kind, device=device)


def _array(tensor: Any) -> NDArray[np.float64]:
    return tensor.detach().cpu().numpy().astype(np.float64)
