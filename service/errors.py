"""Errors of the server alone; those that the library shares are in `callfsm.errors`."""

from callfsm.errors import ConfigError


class PortTakenError(ConfigError):
    """A port that the server needs cannot be had: another server may be at work there."""


class SwitchedOffError(ConfigError):
    """The database says that the service is not to run."""
