"""Doubles for tests and benchmarks: sources, models that note what they get, scripted ears, a server."""
