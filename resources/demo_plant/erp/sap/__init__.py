"""A fake SAP S/4HANA: services in OData V4 and V2 over generated, deterministic documents."""
