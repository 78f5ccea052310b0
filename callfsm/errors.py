"""Every error this project raises on purpose; one base, so a caller can catch them all."""


class CallfsmError(Exception):
    """Base of all errors raised on purpose. Its text is one sentence fit for an operator."""


class ConfigError(CallfsmError):
    """A setting, file or name given by the operator cannot be used; the text says what to do."""


class ProtocolError(CallfsmError):
    """A peer broke the wire protocol. Its connection ends; nobody else's does."""


class EngineError(CallfsmError):
    """An inference engine failed to load or to transcribe."""


class StoreError(CallfsmError):
    """The database cannot be opened or written."""
