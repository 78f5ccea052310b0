"""A GPU that cannot be used: the CPU computes, and the operator reads of it once."""

import functools
import logging

log = logging.getLogger(__name__)


@functools.cache
def warn_of_gpu(device: int, problem: str) -> None:
    """Every context meets the same GPU: the same warning is given once."""
    log.warning("GPU %d cannot be used, so the CPU computes: %s", device, problem)
