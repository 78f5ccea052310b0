"""Machines that a stranger could have written, small enough to read in five minutes each."""
