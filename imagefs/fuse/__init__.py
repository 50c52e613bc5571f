"""The FUSE side: pyfuse3 and trio live here, and nothing about images does."""
