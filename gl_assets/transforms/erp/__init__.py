"""From landed ERP records to standard rows, column by column: rules, fields, problems, judgement. Pure."""
