"""Rewards: from what a miner answered to a score, and from scores to weights."""

from reward.model import Component, Conversation, Message, RewardModel, RewardScore
from reward.scores import RoundScore, Sample, ScoreBook, ScoringRules, Standing, retain, score_round, update
from reward.weights import WeightRules, WeightVector, weights

__all__ = [
    "Component",
    "Conversation",
    "Message",
    "RewardModel",
    "RewardScore",
    "RoundScore",
    "Sample",
    "ScoreBook",
    "ScoringRules",
    "Standing",
    "WeightRules",
    "WeightVector",
    "retain",
    "score_round",
    "update",
    "weights",
]
