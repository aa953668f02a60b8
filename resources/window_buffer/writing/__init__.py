"""The way in: from the queue of appended batches to durable rows, the checkpoint, and what a start repairs."""
