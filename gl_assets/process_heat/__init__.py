"""Assets computed from measurements: efficiency and energy."""
