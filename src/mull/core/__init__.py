"""The values, owners and protocols that all rooms share. Standard library only."""
