"""Actor-style state machines, and the phone-call transcriber built from them."""

__version__ = "0.1.0"
