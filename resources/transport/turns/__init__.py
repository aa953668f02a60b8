"""When a request may go: rate, order, and the pauses that a server asks for or a failing peer is given."""
