"""What OData V2 and V4 are to the fake SAP: declared types, filters, options, shapes, `$metadata`, `$batch`."""
