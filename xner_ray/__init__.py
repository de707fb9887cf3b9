"""xner_ray: give an English named-entity recognizer to other languages through parallel text."""

__version__ = "0.1.0"
