"""What the platform keeps of messages: the outbox, deliveries, answers, ids, refusals, circuits."""
