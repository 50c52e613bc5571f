"""A long run of mounts that are read while images are imported, tagged, removed and collected."""
