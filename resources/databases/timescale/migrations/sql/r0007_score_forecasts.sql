-- What a source's quality score of a day is forecast to be, from the scores of the days before.
CREATE TABLE quality.score_forecasts (
    site        text NOT NULL,
    asset       text NOT NULL,
    source      text NOT NULL,
    day         date NOT NULL,
    score       float8 NOT NULL,
    lower       float8 NOT NULL,
    upper       float8 NOT NULL,
    model       text NOT NULL,
    days        int4 NOT NULL,
    tested      int4 NOT NULL,
    error       float8,
    naive_error float8,
    made_at     timestamptz NOT NULL DEFAULT now(),
    run_id      text NOT NULL,
    PRIMARY KEY (site, asset, source, day)
);
