"""What a process of the platform needs whatever it does: its home, log, memory, small durable files."""
