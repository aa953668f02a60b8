-- How good each partition is, as a whole (source '') and by source: what gates judge and forecasts learn from.
CREATE TABLE quality.partition_scores (
    site         text NOT NULL,
    asset        text NOT NULL,
    partition    text NOT NULL,
    source       text NOT NULL DEFAULT '',
    revision     int4 NOT NULL,
    rows         bigint NOT NULL,
    validity     real NOT NULL,
    completeness real NOT NULL,
    consistency  real NOT NULL,
    uniqueness   real NOT NULL,
    score        real NOT NULL,
    scored_at    timestamptz NOT NULL DEFAULT now(),
    run_id       text NOT NULL,
    PRIMARY KEY (site, asset, partition, source)
);
