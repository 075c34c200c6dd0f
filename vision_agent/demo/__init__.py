"""Runs a room on one machine."""
