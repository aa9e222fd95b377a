"""How the learned head is made: corpus, ways to spoil an answer, features, fit, record."""
