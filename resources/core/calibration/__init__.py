"""What readings are worth by their certificates, and which certificate holds when."""
