-- The public face of scada.readings. Outer joins on unique keys: the planner leaves out those a query does not need.
CREATE VIEW scada.sensor_readings AS
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
       o.collector
FROM scada.readings r
LEFT JOIN scada.sensors s ON s.sensor_key = r.sensor_key
LEFT JOIN scada.origins o ON o.origin_key = r.origin_key;
