CREATE SCHEMA scada;

-- One row per sensor ever stored; the key stands for the name in scada.readings.
CREATE TABLE scada.sensors (
    sensor_key int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sensor_id  text NOT NULL UNIQUE
);

-- One row per way a reading came in. Rows are never changed: what a reading's unit and source were stays true.
CREATE TABLE scada.origins (
    origin_key      int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site            text NOT NULL,
    collector       text NOT NULL,
    source          text NOT NULL,
    unit            text NOT NULL,
    calibrated_unit text NOT NULL,
    validated       bool NOT NULL DEFAULT true,
    UNIQUE (site, collector, source, unit, calibrated_unit, validated)
);

-- Readings, narrow; read them through scada.sensor_readings. No foreign keys: they would cost a look-up per row.
CREATE TABLE scada.readings (
    time             timestamptz NOT NULL,
    value            float8,
    calibrated_value float8,
    ingested_at      timestamptz NOT NULL,
    sensor_key       int4 NOT NULL,
    origin_key       int4 NOT NULL,
    quality_score    real NOT NULL,
    status           int2 NOT NULL
);
CREATE UNIQUE INDEX readings_sensor_time ON scada.readings (sensor_key, time);
-- A window's rows lie together, so a few block ranges tell where a window is.
CREATE INDEX readings_time ON scada.readings USING brin (time) WITH (pages_per_range = 32, autosummarize = on);

-- Averages of all sensors by hour group by an expression of time. Told the true number of different times, the planner
-- expects a group per reading and sorts everything (5 times slower); chunks keep their true statistics for conditions.
ALTER TABLE scada.readings ALTER COLUMN time SET (n_distinct_inherited = 100);

CREATE TABLE scada.text_readings (
    time        timestamptz NOT NULL,
    sensor_id   text NOT NULL,
    value       text,
    status      text NOT NULL,
    source      text NOT NULL,
    collector   text NOT NULL,
    site        text NOT NULL,
    ingested_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX text_readings_sensor_time ON scada.text_readings (sensor_id, time);
CREATE INDEX text_readings_time ON scada.text_readings (time);

CREATE TABLE scada.hourly_readings (
    hour        timestamptz NOT NULL,
    sensor_id   text NOT NULL,
    readings    bigint NOT NULL,
    good_share  float8,
    min_value   float8,
    max_value   float8,
    sum_value   float8,
    mean_value  float8,
    unit        text NOT NULL,
    site        text NOT NULL,
    computed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX hourly_readings_sensor_hour ON scada.hourly_readings (sensor_id, hour);
CREATE INDEX hourly_readings_hour ON scada.hourly_readings (hour);

-- sequence is the collector's receive sequence; below zero: a stored row that a later arrival from elsewhere replaced.
CREATE TABLE scada.rejected_readings (
    collector    text NOT NULL,
    sequence     bigint NOT NULL,
    time         timestamptz,
    sensor_id    text,
    source       text NOT NULL,
    raw          jsonb NOT NULL,
    reasons      text[] NOT NULL,
    window_start timestamptz NOT NULL,
    run_id       text NOT NULL,
    rejected_at  timestamptz NOT NULL,
    site         text NOT NULL,
    PRIMARY KEY (site, collector, window_start, sequence)
);
CREATE INDEX rejected_readings_window ON scada.rejected_readings (window_start);
CREATE SEQUENCE scada.replaced_readings_sequence;

-- Updated every few seconds: room in each page keeps the updates out of the index.
CREATE TABLE scada.latest_readings (
    sensor_id  text PRIMARY KEY,
    time       timestamptz NOT NULL,
    value      float8,
    text_value text,
    unit       text NOT NULL,
    status     text NOT NULL,
    source     text NOT NULL,
    site       text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- The truth about what is stored: written in the transaction of the rows.
CREATE TABLE scada.window_ledger (
    collector       text NOT NULL,
    window_start    timestamptz NOT NULL,
    stored_revision int4 NOT NULL,
    rows            bigint NOT NULL,
    rejected        bigint NOT NULL,
    deduplicated    bigint NOT NULL DEFAULT 0,
    complete        bool NOT NULL,
    partial         bool NOT NULL DEFAULT false,
    stored_at       timestamptz NOT NULL,
    run_id          text NOT NULL,
    site            text NOT NULL,
    PRIMARY KEY (site, collector, window_start)
);
CREATE INDEX window_ledger_window ON scada.window_ledger (window_start);

-- The ledger's numbers by source: what the counts of `gl demo` and `gl ingest` add up.
CREATE TABLE scada.window_sources (
    collector    text NOT NULL,
    window_start timestamptz NOT NULL,
    source       text NOT NULL,
    rows         bigint NOT NULL,
    rejected     bigint NOT NULL,
    deduplicated bigint NOT NULL,
    -- what had been deduplicated when the buffer last held the whole window: later merges count from there
    deduplicated_before bigint NOT NULL DEFAULT 0,
    site         text NOT NULL,
    PRIMARY KEY (site, collector, window_start, source),
    FOREIGN KEY (site, collector, window_start) REFERENCES scada.window_ledger ON DELETE CASCADE
);

-- What could not be received. "to" is null while the gap is open; filled_at is set once history has filled it.
CREATE TABLE scada.gaps (
    site      text NOT NULL,
    collector text NOT NULL,
    source    text NOT NULL,
    "from"    timestamptz NOT NULL,
    "to"      timestamptz,
    reason    text NOT NULL,
    filled_at timestamptz,
    filled_by text,
    PRIMARY KEY (site, collector, source, "from")
);

CREATE TABLE scada.events (
    event_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time       timestamptz NOT NULL,
    event_type text NOT NULL,
    severity   text NOT NULL,
    source     text,
    sensor_id  text,
    value      float8,
    message    text NOT NULL,
    details    jsonb NOT NULL DEFAULT '{}',
    collector  text,
    site       text NOT NULL,
    run_id     text,
    UNIQUE NULLS NOT DISTINCT (site, event_type, source, sensor_id, time)
);
CREATE INDEX events_time ON scada.events (time);

CREATE TABLE scada.anomalies (
    anomaly_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time         timestamptz NOT NULL,
    sensor_id    text NOT NULL,
    kind         text NOT NULL,
    value        float8,
    expected     float8,
    score        float8,
    details      jsonb NOT NULL DEFAULT '{}',
    window_start timestamptz NOT NULL,
    run_id       text NOT NULL,
    detected_at  timestamptz NOT NULL DEFAULT now(),
    site         text NOT NULL,
    UNIQUE (sensor_id, time, kind)
);
CREATE INDEX anomalies_window ON scada.anomalies (window_start);
