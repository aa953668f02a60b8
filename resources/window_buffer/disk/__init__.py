"""Bytes and files: columns, frames, segment files and the index. Knows no window and no rule."""
