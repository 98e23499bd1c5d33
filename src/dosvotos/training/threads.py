"""One thread for torch and one for BLAS: small networks run faster so, and the same every time."""

from typing import NamedTuple

import scipy.linalg.cython_blas  # noqa: F401  the BLAS that compiled code calls must be loaded to be pinned
import torch
from threadpoolctl import threadpool_info, threadpool_limits


class Threads(NamedTuple):
    """Threads in use."""

    torch: int
    blas: int | None
    """The most of any BLAS in the process; None where threadpoolctl knows none of them."""


def pin_threads() -> Threads:
    """Give torch and every loaded BLAS one thread, for the rest of the process, and read both back."""
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    blas = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    return Threads(torch.get_num_threads(), max(blas, default=None))
