"""The platform's own database: connection, migrations, bulk write, ledger."""
