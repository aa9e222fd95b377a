"""Replay and verdict: margins, the sequential test, tolerance profiles, and what to check."""
