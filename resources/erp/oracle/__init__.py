"""Oracle ERP Cloud: Fusion REST, read by business day, as a whole, and by what changed."""
