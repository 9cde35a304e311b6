"""The demonstration: a CNN trained on real digits, pictures of it, and its layers timed on every backend."""
