"""What all exporters of source code share: names that are safe, the outline of a network, its classes.

A network's nodes become `Code`, a constructor's call and an expression (`code.py`); uses of blocks and
repetitions are found again (`outline.py`); those that are alike become one class, whose parameters are what
differs between them (`classes.py`); values get short names of variables (`bodies.py`).
"""
