"""Many answers to one: six ways, pure. No I/O, no broker, no database, no clock."""
