"""One thread for torch and one for BLAS: small networks train faster, and reproducibly."""

from typing import NamedTuple

import scipy.linalg.cython_blas  # noqa: F401  the BLAS that compiled code calls must be loaded to be limited
import torch
from threadpoolctl import threadpool_info, threadpool_limits


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
