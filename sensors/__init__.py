"""What happens in real time."""
