"""The way of a window's readings, step by step: validate, normalise, calibrate, convert, enrich, score, output.

Each step is a pure function over whole columns in a module of its own; `run` puts them in order. What a rule asks
stands where it is judged: `values` for a reading on its own, `neighbours` for a reading among those before it.
"""
