"""Data files of the reward: the hand-written corpus, the reference model's answers, the trained head."""
