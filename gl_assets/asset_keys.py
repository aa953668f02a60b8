"""Keys of the assets over measurements: what jobs, checks and triggers name them by."""

import dagster as dg

SENSOR_READINGS = dg.AssetKey(["scada", "sensor_readings"])
CORRECTED_READINGS = dg.AssetKey(["scada", "corrected_readings"])
HOURLY_READINGS = dg.AssetKey(["scada", "hourly_readings"])
ANOMALY_MODELS = dg.AssetKey(["scada", "anomaly_models"])
ANOMALIES = dg.AssetKey(["scada", "anomalies"])
BOILER_EFFICIENCY = dg.AssetKey(["process_heat", "boiler_efficiency"])
ENERGY_INTENSITY = dg.AssetKey(["process_heat", "energy_intensity"])
ENERGY_COST = dg.AssetKey(["process_heat", "energy_cost"])

HOURLY_ASSETS = (HOURLY_READINGS, BOILER_EFFICIENCY)
"""What is made again, in this order, when an hour is complete or a late reading has changed it."""

DAILY_ASSETS = (ENERGY_INTENSITY, ENERGY_COST)
"""What is made again, in this order, when what is booked or measured of a day has changed."""
