"""Scores of taggers and projections: entity F1, bootstrap intervals and calibration."""
