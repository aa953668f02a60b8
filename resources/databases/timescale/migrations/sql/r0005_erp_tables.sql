-- Landed records are looked up by key over all days, and by day. What tells most stands first in each index, and no column
-- leads both: so a plan is right before there are statistics, when a backfill fills an empty table.
ALTER TABLE erp.landed_records DROP CONSTRAINT landed_records_system_dataset_partition_date_source_key_key;
DROP INDEX erp.landed_records_key;
ALTER TABLE erp.landed_records ADD CONSTRAINT landed_records_key
    UNIQUE NULLS NOT DISTINCT (source_key, system, dataset, partition_date);
CREATE INDEX landed_records_day ON erp.landed_records (partition_date, system, dataset);
DROP INDEX erp.energy_consumption_date;
CREATE INDEX energy_consumption_date ON erp.energy_consumption (transaction_date, system);

-- The standard tables beside energy_consumption. Facts are landed and replaced by their business day; in two of them a
-- business_date holds it, because their times are instants and the day is one of the system's own zone.
CREATE TABLE erp.production_schedule (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    business_date     date,
    plant_code        text,
    order_id          text,
    order_type        text,
    material          text,
    quantity          numeric,
    unit              text,
    planned_start     timestamptz,
    planned_end       timestamptz,
    actual_start      timestamptz,
    actual_end        timestamptz,
    work_center       text,
    status            text,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);
CREATE INDEX production_schedule_date ON erp.production_schedule (business_date, system);

CREATE TABLE erp.purchase_orders (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    order_id          text,
    item              text,
    supplier          text,
    material          text,
    quantity          numeric,
    unit              text,
    net_amount        numeric,
    currency          text,
    plant_code        text,
    order_date        date,
    delivery_date     date,
    cost_center       text,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);
CREATE INDEX purchase_orders_date ON erp.purchase_orders (order_date, system);

CREATE TABLE erp.maintenance_schedule (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    business_date     date,
    work_order_id     text,
    asset_id          text,
    description       text,
    work_type         text,
    priority          text,
    planned_start     timestamptz,
    planned_end       timestamptz,
    status            text,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);
CREATE INDEX maintenance_schedule_date ON erp.maintenance_schedule (business_date, system);

CREATE TABLE erp.financial_transactions (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    transaction_id    text,
    line              text,
    account           text,
    amount            numeric,
    currency          text,
    debit_credit      text,
    posting_date      date,
    cost_center       text,
    description       text,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);
CREATE INDEX financial_transactions_date ON erp.financial_transactions (posting_date, system);

CREATE TABLE erp.cost_allocation (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    allocation_id     text,
    cost_center       text,
    amount            numeric,
    currency          text,
    allocation_base   text,
    period_start      date,
    period_end        date,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);
CREATE INDEX cost_allocation_date ON erp.cost_allocation (period_start, system);

-- Master data: what is valid now; older versions stand in master_history.
CREATE TABLE erp.cost_centers (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    cost_center       text,
    name              text,
    responsible       text,
    valid_from        date,
    valid_to          date,
    profit_center     text,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);

CREATE TABLE erp.assets (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    asset_id          text,
    name              text,
    asset_type        text,
    location_code     text,
    status            text,
    commissioned_at   timestamptz,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);

CREATE TABLE erp.materials (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    material          text,
    description       text,
    base_unit         text,
    material_group    text,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);

CREATE TABLE erp.workforce (
    system            text NOT NULL,
    source_key        text NOT NULL,
    company           text,
    worker_id         text,
    position          text,
    cost_center       text,
    location_code     text,
    fte               numeric,
    valid_from        date,
    valid_to          date,
    changed_at        timestamptz,
    ingested_at       timestamptz NOT NULL,
    quality_score     real,
    extra             jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (system, source_key)
);

-- Each version of a row of master data that was ever valid, as JSON without what only tells of the pull.
CREATE TABLE erp.master_history (
    dataset       text NOT NULL,
    system        text NOT NULL,
    source_key    text NOT NULL,
    changed_at    timestamptz NOT NULL,
    superseded_at timestamptz,
    version       jsonb NOT NULL,
    run_id        text NOT NULL,
    PRIMARY KEY (dataset, system, source_key, changed_at),
    CHECK (superseded_at IS NULL OR superseded_at >= changed_at)
);
CREATE UNIQUE INDEX master_history_valid ON erp.master_history (dataset, system, source_key)
    WHERE superseded_at IS NULL;

-- How far changes of a dataset were read, by the system's own clock.
CREATE TABLE erp.cursors (
    system   text NOT NULL,
    dataset  text NOT NULL,
    position timestamptz NOT NULL,
    read_at  timestamptz NOT NULL,
    records  bigint NOT NULL,
    written  bigint NOT NULL,
    run_id   text NOT NULL,
    PRIMARY KEY (system, dataset)
);

-- Business days whose landed records changed outside a pull of the day, until they are standardised again.
CREATE TABLE erp.touched_days (
    system         text NOT NULL,
    dataset        text NOT NULL,
    partition_date date,
    touched_at     timestamptz NOT NULL,
    run_id         text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (system, dataset, partition_date)
);

-- What became of the landed records of a day when they were standardised last: every one is in one of the counts.
CREATE TABLE erp.standardised (
    system          text NOT NULL,
    dataset         text NOT NULL,
    partition_date  date,
    rows            bigint NOT NULL,
    rejected        bigint NOT NULL,
    withdrawn       bigint NOT NULL,
    standardised_at timestamptz NOT NULL,
    run_id          text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (system, dataset, partition_date)
);

-- The properties that records of a dataset have, and of which JSON types: what drift of a schema is judged by.
CREATE TABLE erp.observed_properties (
    system        text NOT NULL,
    dataset       text NOT NULL,
    property      text NOT NULL,
    types         text[] NOT NULL,
    always        boolean NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    PRIMARY KEY (system, dataset, property)
);
