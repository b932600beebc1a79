"""Tests of the engine for production."""
