"""The validator: asks, fixes what was answered, chooses what to check, replays, judges, and sets weights."""
