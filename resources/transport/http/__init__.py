"""Requests to one system: answers within bounds, pages, retries where they are safe, what calls cost."""
