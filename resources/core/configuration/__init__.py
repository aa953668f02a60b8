"""Reading `integrations.yaml`: strict models, faults by file and line, and the blocks of no connector."""
