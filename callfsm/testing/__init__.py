"""Spec tools: scenarios that read as sentences, and which facts of a table they showed.

The pytest side (`--fsm-cov`, `--fsm-spec`) is `callfsm.pytest_plugin`.
"""

from callfsm.testing.coverage import Coverage, Fact
from callfsm.testing.scenario import Scenario, Simulation, given, simulate

__all__ = ["Coverage", "Fact", "Scenario", "Simulation", "given", "simulate"]
