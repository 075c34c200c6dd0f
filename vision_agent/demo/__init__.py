"""What runs a room on one machine."""
