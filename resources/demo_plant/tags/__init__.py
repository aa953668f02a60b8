"""The plant's 200 sensors, one row each: id, unit, limits, noise and how the value follows from the physics."""
