-- Why a stored reading's score is below 100: one bit per rule it broke. It fills two bytes that every row left empty.
ALTER TABLE scada.readings ADD COLUMN defects int2 NOT NULL DEFAULT 0;

-- The names of the bits, in the order of gl_assets.transforms.pipeline.rules: a test holds the two equal.
CREATE FUNCTION scada.defect_names(defects int2) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(name ORDER BY bit), '{}') FROM unnest(ARRAY[
        'required', 'type', 'sensor_id', 'unit', 'not_a_number', 'infinite', 'range', 'future', 'too_old',
        'rate_of_change', 'flat_line', 'out_of_order', 'duplicate'
    ]) WITH ORDINALITY AS rule(name, bit) WHERE defects & (1 << (bit::int4 - 1)) <> 0
$$;

CREATE OR REPLACE VIEW scada.sensor_readings AS
SELECT r.time,
       s.sensor_id,
       r.value,
       o.unit,
       r.calibrated_value,
       o.calibrated_unit,
       CASE r.status WHEN 0 THEN 'good' WHEN 1 THEN 'uncertain' ELSE 'bad' END AS status,
       r.quality_score,
       CASE WHEN r.quality_score >= 95 THEN 'EXCELLENT'
            WHEN r.quality_score >= 80 THEN 'GOOD'
            WHEN r.quality_score >= 60 THEN 'FAIR'
            WHEN r.quality_score >= 40 THEN 'POOR'
            ELSE 'INVALID' END AS quality_level,
       o.source,
       o.validated,
       r.ingested_at,
       o.site,
       o.collector,
       CASE WHEN r.defects = 0 THEN '{}'::text[] ELSE scada.defect_names(r.defects) END AS defects
FROM scada.readings r
LEFT JOIN scada.sensors s ON s.sensor_key = r.sensor_key
LEFT JOIN scada.origins o ON o.origin_key = r.origin_key;

-- What the configuration says of each sensor: where it stands and what it measures. Written with the readings.
CREATE TABLE scada.sensor_metadata (
    sensor_id       text PRIMARY KEY,
    source          text NOT NULL,
    description     text NOT NULL DEFAULT '',
    equipment       text,
    area            text,
    unit            text NOT NULL,
    canonical_unit  text NOT NULL,
    minimum         float8,
    maximum         float8,
    certificate     text,
    site            text NOT NULL,
    changed_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sensor_metadata_equipment ON scada.sensor_metadata (equipment);

-- Readings with what is known of their sensor. The planner leaves out the join where no such column is asked for.
CREATE VIEW scada.enriched_readings AS
SELECT r.*, m.equipment, m.area, m.description
FROM scada.sensor_readings r
LEFT JOIN scada.sensor_metadata m ON m.sensor_id = r.sensor_id;
