"""Against the other tools that know container images: what each reads and writes has to agree."""
