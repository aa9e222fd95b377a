"""SubtensorModule, one file per concern; `storage` holds every row, the others the functions."""
