"""What a run asks a system for: which datasets are due, what has changed, named pages, a first look."""
