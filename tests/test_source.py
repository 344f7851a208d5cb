"""What holds for every line of the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "adiabat"
ON_PURPOSE = {"cli/jax_patterns.py"}  # `adiabat doctor` shows there that JAX gets it wrong


def overlapping_shifts(code: str) -> Iterator[int]:
    """Lines where a slice of an array is set to another slice of the same array: `b.at[1:].set(b[:-1])`.

    XLA computes some of these wrongly on a CPU, in every release. A slice that went through local names
    (`tail = b[:-1]`) is followed.
    """
    tree = ast.parse(code)
    assigned = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Subscript(value=ast.Attribute(value=array, attr="at"), slice=place), attr="set"
                ),
                args=[value, *_],
            ) if has_slice(place) and reads_slice_of(array, value, assigned):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr="dynamic_update_slice"), args=[array, value, *_]) if reads_slice_of(
                array, value, assigned
            ):
                yield node.lineno


def reads_slice_of(array: ast.expr, value: ast.expr, assigned: dict[str, ast.expr], depth: int = 3) -> bool:
    for node in ast.walk(value):
        same = isinstance(node, ast.Subscript) and ast.dump(node.value) == ast.dump(array)
        if same and has_slice(node.slice):
            return True
        followed = assigned.get(node.id) if isinstance(node, ast.Name) else None
        if followed is not None and depth and reads_slice_of(array, followed, assigned, depth - 1):
            return True
    return False


def has_slice(place: ast.expr) -> bool:
    return any(isinstance(node, ast.Slice) and (node.lower or node.upper) for node in ast.walk(place))


def test_no_array_is_shifted_onto_itself() -> None:
    found = {
        f"{path.relative_to(SOURCE)}:{line}"
        for path in SOURCE.rglob("*.py")
        if str(path.relative_to(SOURCE)) not in ON_PURPOSE
        for line in overlapping_shifts(path.read_text())
    }
    assert not found, "write jnp.concatenate or jnp.roll instead"


def test_the_examples_on_purpose_are_still_there() -> None:
    assert all(list(overlapping_shifts((SOURCE / name).read_text())) for name in ON_PURPOSE)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("b = b.at[1:].set(b[:-1])", True),
        ("b = b.at[:, 2:].set(2 * b[:, :-2] + c)", True),
        ("tail = b[:-1]\nb = b.at[1:].set(tail)", True),
        ("self.b.at[1:].set(self.b[:-1])", True),
        ("lax.dynamic_update_slice(b, b[:-1], (1,))", True),
        ("b = b.at[1:].set(c[:-1])", False),
        ("b = b.at[0].set(b[1])", False),
        ("b = b.at[1:].set(0.0)", False),
        ("b = b.at[:, k].set(proposed[:, k])", False),
        ("b = jnp.concatenate([b[:1], b[:-1]])", False),
    ],
)
def test_the_search_for_overlapping_shifts_sees_them(code: str, found: bool) -> None:
    assert bool(list(overlapping_shifts(code))) is found
