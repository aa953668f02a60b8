"""OData V4 and V2 over the HTTP client: queries, filters, pages, `$batch`, and the CSRF token that posts need."""
