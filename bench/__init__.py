"""Benchmarks, and the registry of shapes that they share with the tests."""
