"""Errors of the server alone; those that the library shares are in `callfsm.errors`."""

from callfsm.errors import ConfigError


class SwitchedOffError(ConfigError):
    """The database says that the service is not to run."""
