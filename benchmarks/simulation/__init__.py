"""Simulated downloads: the tool's own pacing, in virtual time, in many worlds.

`python -m benchmarks.simulation` prints a table. The classes `Pacing` and `NodesSource` run
unchanged, and the sandbox's `Sessions` counts, so there is no second model of either.
"""
