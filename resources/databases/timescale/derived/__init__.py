"""Tables made from stored readings: hours, efficiency, energy as booked and as measured."""
