"""The columns of the tables that the assets of measurements write, as the Dagster UI shows them."""

import dagster as dg


def _schema(*columns: tuple[str, str, str]) -> dg.TableSchema:
    return dg.TableSchema(columns=[dg.TableColumn(name, kind, description=text) for name, kind, text in columns])


SENSOR_READINGS_COLUMNS = _schema(
    ("time", "timestamptz", "Source time, UTC."),
    ("sensor_id", "text", "The tag; unique in the configuration."),
    ("value", "float8", "Engineering value after the tag's scale and offset; null only with status bad."),
    ("unit", "text", "Unit of value, a UCUM code."),
    ("calibrated_value", "float8", "Value after calibration, in the canonical unit."),
    ("calibrated_unit", "text", "Unit of calibrated_value."),
    ("status", "text", "good, uncertain or bad, as the source states it."),
    ("quality_score", "real", "0 to 100."),
    ("quality_level", "text", "EXCELLENT, GOOD, FAIR, POOR or INVALID."),
    ("source", "text", "The source of the configuration it came from."),
    ("validated", "bool", "Whether it passed the validation of its window."),
    ("ingested_at", "timestamptz", "When the platform received it."),
    ("site", "text", "The site."),
)

HOURLY_READINGS_COLUMNS = _schema(
    ("hour", "timestamptz", "Start of the hour, UTC."),
    ("sensor_id", "text", "The tag."),
    ("readings", "bigint", "Readings in the hour."),
    ("good_share", "float8", "Share of them with status good."),
    ("min_value", "float8", "Lowest good value."),
    ("max_value", "float8", "Highest good value."),
    ("mean_value", "float8", "Time-weighted mean of the good values."),
    ("unit", "text", "Unit of the values, a UCUM code."),
    ("site", "text", "The site."),
)

BOILER_EFFICIENCY_COLUMNS = _schema(
    ("boiler", "text", "The boiler, as configured under `boilers`."),
    ("hour", "timestamptz", "Start of the hour, UTC."),
    ("efficiency", "float8", "Steam power over fuel power (0.9 is 90 %); null where the balance cannot be drawn."),
    ("steam_power_kw", "float8", "What the steam took up."),
    ("fuel_power_kw", "float8", "What the fuel brought in, by its lower heating value."),
    ("good_share", "float8", "Lowest good share of the boiler's sensors."),
    ("reason", "text", "Why there is no efficiency."),
    ("site", "text", "The site."),
)

CORRECTED_READINGS_COLUMNS = _schema(
    ("correction_id", "bigint", "The batch, a row of quality.corrections."),
    ("number", "int", "Row of the batch."),
    ("collector", "text", "With window_start and sequence: the rejected row, as scada.rejected_readings has it."),
    ("window_start", "timestamptz", "Window of the rejected row."),
    ("sequence", "bigint", "Receive sequence of the rejected row."),
    ("original", "jsonb", "The rejected row as it came."),
    ("reasons", "text[]", "Why it was rejected."),
    ("sensor_id", "text", "The tag it was corrected to."),
    ("time", "timestamptz", "Source time it was corrected to, UTC."),
    ("value", "float8", "Value it was corrected to."),
    ("unit", "text", "Unit of value."),
    ("status", "text", "Status it was corrected to."),
    ("outcome", "text", "pending, stored, standing, occupied, repeated or rejected."),
    ("why", "text[]", "Why it is not stored."),
    ("site", "text", "The site."),
)

ANOMALY_MODELS_COLUMNS = _schema(
    ("equipment", "text", "The equipment, as tags name it."),
    ("version", "int", "1 for the first detectors of an equipment; the highest is in force."),
    ("fingerprint", "text", "Of what the configuration said: sensors, units and parameters."),
    ("model", "jsonb", "The detectors as plain data."),
    ("sensors", "text[]", "The sensors that are judged."),
    ("left_out", "jsonb", "Sensor that is not judged -> why."),
    ("trained_from", "timestamptz", "First row they were trained on."),
    ("trained_to", "timestamptz", "End of the last."),
    ("rows", "bigint", "Rows with a good value of every sensor."),
    ("trained_at", "timestamptz", "When."),
    ("site", "text", "The site."),
)

ANOMALIES_COLUMNS = _schema(
    ("time", "timestamptz", "Where it begins within its window."),
    ("ended_at", "timestamptz", "Where it ends within its window."),
    ("equipment", "text", "The equipment."),
    ("kind", "text", "multivariate (its sensors together), outlier or level_change (of one sensor)."),
    ("sensor_id", "text", "The sensor it is of; of a multivariate one the one that contributes most."),
    ("value", "float8", "Its calibrated value where it was furthest from normal; the new level of a level_change."),
    ("expected", "float8", "What was normal: mean in training, median before, level before."),
    ("score", "float8", "Distance from normal over the limit: 1 is the limit."),
    ("details", "jsonb", "Rows, distance and limit; of a multivariate one each sensor's contribution."),
    ("model_version", "int", "The detectors that found it."),
    ("found_by", "text", "asset, or collector: found live in a window that is not scored yet."),
    ("window_start", "timestamptz", "Start of its window."),
    ("site", "text", "The site."),
)

ENERGY_INTENSITY_COLUMNS = _schema(
    ("consumer", "text", "The consumer, as configured under `energy.consumers`."),
    ("day", "date", "The day, in `energy.time_zone`."),
    ("basis", "text", "booked or measured: what the intensity is made from; null where there is none."),
    ("energy_kwh", "float8", "Energy used, all types together."),
    ("product_t", "float8", "What was made of it, tonnes."),
    ("intensity_kwh_per_t", "float8", "energy_kwh over product_t."),
    ("booked_energy_kwh", "float8", "Energy as the ERP has it."),
    ("booked_product_t", "float8", "Product as the ERP has it."),
    ("measured_energy_kwh", "float8", "Fuel as measured, in the hours in which fuel and steam are known."),
    ("measured_product_t", "float8", "Steam as measured, in the same hours."),
    ("measured_hours", "int4", "How many hours these are."),
    ("good_share", "float8", "Mean of the hours' lower good share of the two sensors."),
    ("reason", "text", "Why there is no intensity."),
    ("site", "text", "The site."),
)

ENERGY_COST_COLUMNS = _schema(
    ("consumer", "text", "The consumer, as configured under `energy.consumers`."),
    ("day", "date", "The day, in `energy.time_zone`."),
    ("energy_type", "text", "natural_gas, electricity, ..."),
    ("basis", "text", "booked or measured."),
    ("energy_kwh", "float8", "Energy used."),
    ("price_per_kwh", "float8", "Its price, from `energy.types`."),
    ("cost", "float8", "energy_kwh times price_per_kwh."),
    ("cost_per_t", "float8", "Cost per tonne of what was made."),
    ("currency", "text", "Currency of price and cost, ISO 4217."),
    ("reason", "text", "Why there is no cost."),
    ("site", "text", "The site."),
)
