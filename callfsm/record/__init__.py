"""Record a call as it happens, and run the machine on the recording again.

What a machine does follows from its events alone, so a log of them is the whole call. Every turn is
written down with its event, the effects it asked for and the state it led to; `replay` runs the
machine on the events and finds the first turn that differs. The format is in docs/replay.md.
"""
