"""The directory on disk: blobs as received, derived layers, and the catalogue of who refers to what."""
