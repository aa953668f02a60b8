"""Pure functions, frame in and frame out."""
