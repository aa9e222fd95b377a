"""The transport: axon (server) and dendrite (client) of the synapse protocol, bounded against a hostile network."""
