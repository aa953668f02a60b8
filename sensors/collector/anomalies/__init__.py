"""Live readings scored by the trained detectors of their equipment, beside the way of the readings. No Dagster."""
