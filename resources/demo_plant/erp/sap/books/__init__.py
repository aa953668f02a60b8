"""What the fake SAP holds: one module a kind of documents."""
