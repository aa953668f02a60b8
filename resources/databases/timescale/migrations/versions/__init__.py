"""One module a revision, `rNNNN_<what>.py`; its SQL lies in `migrations/sql` under the same number."""
