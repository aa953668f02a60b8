"""Alarms: rules on the readings being buffered, and what is published at once when one is broken; no Dagster inside."""
