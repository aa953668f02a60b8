"""The way out: from a segment to a window's contents, duplicates settled."""
