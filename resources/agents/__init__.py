"""Agents on the wire: signed messages, bus, registry, broadcaster, and the SDK an agent embeds."""
