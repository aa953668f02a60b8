"""`gl bench erp`."""
