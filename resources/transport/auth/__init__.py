"""Logging on over HTTP: what a request carries, where tokens come from, and which secret was refused."""
