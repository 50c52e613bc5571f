"""One layer: from the bytes of a tar archive to entries that can be looked up."""
