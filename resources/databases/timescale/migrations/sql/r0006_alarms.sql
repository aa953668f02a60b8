-- Alarms that the collector raised on live readings; cleared_at is null while one stands.
CREATE TABLE scada.alarms (
    site        text NOT NULL,
    rule        text NOT NULL,
    sensor_id   text NOT NULL,
    raised_at   timestamptz NOT NULL,
    cleared_at  timestamptz,
    value       float8,
    threshold   float8 NOT NULL,
    message_id  text,
    PRIMARY KEY (site, rule, sensor_id, raised_at)
);
