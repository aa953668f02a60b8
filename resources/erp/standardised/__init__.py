"""From landed records to the standard tables, and what was corrected on the way."""
