"""The main job on one machine: a chain, a subnet, its validators, honest miners and cheats, as separate processes."""
