"""The one error of this package, apart so that every module here can raise it."""

from callfsm.errors import ConfigError


class WeightsError(ConfigError):
    """No usable model file for what was asked; the text says what to do about it."""
