"""SAP S/4HANA by OData V4."""
