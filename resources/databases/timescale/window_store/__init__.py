"""One revision of a window, stored whole in one transaction with its ledger, and read again."""
