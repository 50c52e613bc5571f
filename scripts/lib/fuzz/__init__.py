"""Fuzzing: what is thrown at imagefs, and by what."""
