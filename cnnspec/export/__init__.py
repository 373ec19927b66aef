"""The network in other systems' words."""
