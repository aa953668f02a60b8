"""What is written beside readings while the platform runs: alarms, events, latest values, writes to the plant."""
