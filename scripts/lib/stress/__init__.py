"""Many processes at one store at once: `scripts/stress`."""
