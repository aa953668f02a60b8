"""The payload of a Sparkplug message: bytes to metrics and back. Pure; it knows nothing of topics, tags or brokers."""
