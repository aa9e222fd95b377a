"""What a validator shows of itself: one snapshot value, read by the status page and the localnet's table."""
