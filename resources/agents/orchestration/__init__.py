"""What an orchestrator does while it runs: who is sent what and when, answers, events, the members' states."""
