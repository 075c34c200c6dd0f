"""Doubles for tests and benchmarks: sources, models that keep their requests, scripted speech, a server."""
