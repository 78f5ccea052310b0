"""A trial run: a real server process, the real protocol, spoken calls in, judged text out.

The demo and the benchmarks are trials; so what they claim was measured on what users run.
"""
