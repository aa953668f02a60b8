"""`gl rejected`: what was rejected, why, and replaying it."""
