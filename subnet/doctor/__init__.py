"""`doctor`: what is wrong with a neuron's surroundings, and the command that mends it."""
