"""Captures through the engine, offline: what would the gateway have done?"""
