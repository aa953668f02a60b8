CREATE SCHEMA erp;

-- Records as the system gave them. partition_date is null for master data, which is not partitioned.
CREATE TABLE erp.landed_records (
    system         text NOT NULL,
    dataset        text NOT NULL,
    partition_date date,
    source_key     text NOT NULL,
    raw            jsonb NOT NULL,
    hash           text NOT NULL,
    changed_at     timestamptz,
    ingested_at    timestamptz NOT NULL,
    run_id         text NOT NULL,
    deleted_at     timestamptz,
    UNIQUE NULLS NOT DISTINCT (system, dataset, partition_date, source_key)
);
CREATE INDEX landed_records_key ON erp.landed_records (system, dataset, source_key);

CREATE TABLE erp.rejected_records (
    rejected_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system         text NOT NULL,
    dataset        text NOT NULL,
    partition_date date,
    source_key     text,
    raw            jsonb NOT NULL,
    reasons        text[] NOT NULL,
    run_id         text NOT NULL,
    rejected_at    timestamptz NOT NULL
);
CREATE INDEX rejected_records_day ON erp.rejected_records (system, dataset, partition_date);

CREATE TABLE erp.energy_consumption (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    plant_code        text,
    energy_type       text,
    consumption_value numeric,
    consumption_unit  text,
    consumption_id    text,
    meter_id          text,
    location_code     text,
    transaction_date  date,
    period_start      timestamptz,
    period_end        timestamptz,
    cost_center       text,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);
CREATE INDEX energy_consumption_date ON erp.energy_consumption (transaction_date);
