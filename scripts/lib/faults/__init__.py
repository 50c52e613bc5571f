"""Faults injected into imagefs: where it writes to the disk, it is killed, refused, or loses what was not synced."""
