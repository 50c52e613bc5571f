"""Looking into images without a mount: the same trees, asked by path."""
