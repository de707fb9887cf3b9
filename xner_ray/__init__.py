"""xner_ray: give an English named-entity recogniser to other languages through parallel text."""

__version__ = "0.1.0"
