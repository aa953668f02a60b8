"""What a text of a foreign system stands for: numbers, times, clocks, units, currencies. Nothing of ERP tables."""
