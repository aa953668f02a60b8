"""What the checks of ERP assets judge by, without Dagster: rules as data, verdicts by part, drift of schemas."""
