"""A secured session, its subscriptions and what they publish."""
