"""What the specifications say, as pure functions and values. Nothing here touches a disk."""
