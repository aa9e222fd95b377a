"""What a neuron tells people: logs, JSON lines, Prometheus, wandb, and an endpoint for health and readiness."""
