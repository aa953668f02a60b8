-- Alarms that the collector raised on live readings; cleared_at is null while one stands. raised_at and cleared_at are
-- source times of the readings that decided, began_at is since when the value was beyond the limit. cleared_value is null
-- where the rule was taken out of the configuration. answers: agent_id -> what it said to the alarm's command.
CREATE TABLE scada.alarms (
    site          text NOT NULL,
    rule          text NOT NULL,
    sensor_id     text NOT NULL,
    raised_at     timestamptz NOT NULL,
    cleared_at    timestamptz,
    value         float8,
    threshold     float8 NOT NULL,
    message_id    text,
    collector     text NOT NULL,
    source        text NOT NULL,
    unit          text NOT NULL,
    direction     text NOT NULL,
    priority      text NOT NULL,
    message       text NOT NULL,
    began_at      timestamptz NOT NULL,
    noticed_at    timestamptz,
    cleared_value float8,
    answers       jsonb NOT NULL DEFAULT '{}',
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, rule, sensor_id, raised_at)
);
CREATE INDEX alarms_standing ON scada.alarms (site, raised_at) WHERE cleared_at IS NULL;
