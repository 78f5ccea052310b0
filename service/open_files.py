"""How many files the process may have open: each call has a connection for its audio and, for ten
minutes after, one to the language model."""

import logging
import resource

log = logging.getLogger(__name__)

MOST = 65_536  # more calls than there are ports for their audio
FILES_A_CALL = 3  # its own two, and that of an earlier call of another id
OTHER_FILES = 64


def allow_open_files(max_calls: int) -> None:
    """Raise the limit as far as the system lets us, and warn where that is too low."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return
    wanted = MOST if most == resource.RLIM_INFINITY else min(most, MOST)
    while wanted > limit:  # macOS says "no limit", and has one
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        except (OSError, ValueError):
            wanted //= 2
        else:
            limit = wanted
    needed = FILES_A_CALL * max_calls + OTHER_FILES
    if limit < needed:
        log.warning(
            "%d open files are allowed (ulimit -n); %d calls may need %d", limit, max_calls, needed
        )
