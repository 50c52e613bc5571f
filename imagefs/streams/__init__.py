"""Bytes in motion: chunks, tar members, compression, worker threads. Nothing here knows what an image is."""
