"""Who there is: the roster, heartbeats, health, scores, the search by capability."""
