"""How a process works that imports this, which it does before NumPy and anything large.

Garbage is looked for rarely: CPython looks for reference cycles after every 700 new objects, but imports and
tables make a million that stay, and reference counts free nearly all that a run lets go.

OpenBLAS uses one thread: on matrices as small as a policy's a second one waits for its next piece in a loop,
for five to ten times the CPU time of the work. What the environment says counts, also for children.
"""

import gc
import os

gc.set_threshold(100_000, 20)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
