"""`gl bench collector`, and what else shows the collector and its buffer."""
