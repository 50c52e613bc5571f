"""What an image looks like as a tree of files, without a word of FUSE."""
