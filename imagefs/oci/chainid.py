"""Chain IDs: a layer with all that is below it (image specification, configuration chapter, "Layer ChainID")."""

from collections.abc import Sequence

from imagefs import digest
from imagefs.digest import Digest


def chain_ids(diff_ids: Sequence[Digest]) -> list[Digest]:
    """The chain ID of each layer of a stack, lowest first: a lowest layer's is its diff ID."""
    chain: list[Digest] = []
    for diff_id in diff_ids:
        chain.append(digest.of_bytes(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain
