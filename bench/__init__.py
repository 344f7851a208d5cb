"""What adiabat costs: start-up, the loop itself, a training step by its parts, and the way to an accurate energy;
and how far each optimizer gets.

``./dev bench`` or ``python -m bench`` measures and prints one table. Each benchmark is a module with a function
``measure(...) -> list[Row]``.
"""
