"""Garbage is looked for rarely in the process that imports this, which it does before anything large.

CPython looks for reference cycles after every 700 new objects. Imports and tables make a million that stay,
so that a fifth of a start-up's CPU time went there; reference counts free nearly all that a run lets go.
"""

import gc

gc.set_threshold(100_000, 20)
