"""Assets of agent coordination."""
