"""Commands on what is stored or buffered: windows, gaps, gates, calibrations, anomalies."""
