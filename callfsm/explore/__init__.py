"""Explore what can happen: a call, the inference actor and a link together, in every order.

The machines, handlers and models are the real ones; audio is a few frames, and what surrounds the
three is a choice. `search` tries every choice breadth-first up to a bound, so what it finds is the
shortest way there; `spec` prints it as a spec. docs/exploration.md says what is checked.
"""
