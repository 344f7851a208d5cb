"""A number and its error bar the way papers print them."""

import math


def format_with_error(value: float, error: float, digits: int = 2) -> str:
    """Print a value to the last digits that its error allows, and the error in units of those digits.

    Parameters
    ----------
    value, error : float
        In the same unit.
    digits : int
        Digits of the error that are shown.

    Returns
    -------
    str
        ``-8.07051(23)`` is -8.07051 with an error of 0.00023; ``10.3(2.4)`` spells out an error that
        reaches over the decimal point. An error of zero is shown as ``(0)``, an unknown one as ``(?)``.

    Examples
    --------
    >>> format_with_error(-8.070513, 0.000231)
    '-8.07051(23)'
    """
    if not math.isfinite(value):
        return str(value)
    if not math.isfinite(error):
        return f"{value:.6g}(?)"
    if error <= 0.0:
        return f"{value:.10g}(0)"
    # Rounding the error first: 0.0996 is 0.10, which has its digits one place further left.
    error = float(f"{error:.{digits - 1}e}")
    decimals = digits - 1 - math.floor(math.log10(error))
    if decimals <= 0:
        return f"{round(value, decimals):.0f}({error:.0f})"
    if error >= 1.0:
        return f"{value:.{decimals}f}({error:.{decimals}f})"
    return f"{value:.{decimals}f}({round(error * 10**decimals)})"
