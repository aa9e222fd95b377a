"""The economics of cheating beyond one machine: a subnet of 256 neurons over many epochs, with real Yuma arithmetic."""
