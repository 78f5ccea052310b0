"""The demo: the whole system on one machine, with real speech, the real model and the protocol."""
