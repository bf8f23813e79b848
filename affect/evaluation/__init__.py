"""Predictions → numbers that can be trusted: metrics per person, statistics over people."""
