"""Connections with a persistent session: one network thread for all, queues by priority, the pace."""
