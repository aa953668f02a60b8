"""OPC UA client: subscriptions to readings."""
