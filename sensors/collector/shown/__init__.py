"""What the collector tells: health, metrics, and the pages that have them."""
