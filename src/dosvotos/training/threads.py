"""What torch is told before a training: one thread, as BLAS, and to load no compiler.

Small networks train faster on one thread, and reproducibly.
"""

import sys
from typing import Final, NamedTuple

import scipy.linalg.cython_blas  # noqa: F401  the BLAS that compiled code calls must be loaded to be limited
import torch
from threadpoolctl import threadpool_info, threadpool_limits

_NEVER_COMPILED: Final = ("state_dict", "load_state_dict", "zero_grad", "add_param_group")


class ThreadCounts(NamedTuple):
    """Numbers of threads in use."""

    torch: int
    blas: int | None
    """The largest of any BLAS library in the process; None where threadpoolctl knows none."""


def use_one_thread() -> ThreadCounts:
    """Set torch and every loaded BLAS to one thread for the rest of the process, and read both back."""
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    blas = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    return ThreadCounts(torch.get_num_threads(), max(blas, default=None))


def keep_compiler_out() -> None:
    """Let optimizers be made, saved and restored without `torch._dynamo`, whose import takes 1.5 CPU seconds.

    These of their methods import it, the first time, only to be marked as not to be compiled; nothing is
    compiled here, so they are marked as what they are. Where torch keeps the mark elsewhere, it imports.
    """
    if "torch._dynamo" in sys.modules:
        return
    for name in _NEVER_COMPILED:
        method = getattr(torch.optim.Optimizer, name)
        method = getattr(method, "__wrapped__", method)
        vars(method).setdefault("__dynamo_disable", method)
