"""The shelf: published networks and the registry code that finds them (standard library only)."""
