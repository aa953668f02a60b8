-- What each pull of a business day brought, written in the transaction that stored it: the ledger of the ERP side.
CREATE TABLE erp.pulls (
    system         text NOT NULL,
    dataset        text NOT NULL,
    partition_date date,
    rows           bigint NOT NULL,
    server_count   bigint,
    duplicates     bigint NOT NULL,
    vanished       bigint NOT NULL,
    pages          bigint NOT NULL,
    duration_s     double precision NOT NULL,
    pulled_at      timestamptz NOT NULL,
    run_id         text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (system, dataset, partition_date)
);
