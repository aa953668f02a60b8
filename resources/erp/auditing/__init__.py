"""What is asked of stored ERP data by its checks, answered in the database."""
