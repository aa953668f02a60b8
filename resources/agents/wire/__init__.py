"""What stands in a message: its forms, topics, refusals, and who may send what. No key, no connection, no table."""
