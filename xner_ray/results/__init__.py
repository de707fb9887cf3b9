"""An output folder and what its results depend on: fingerprints, stage folders, and the claim of a run on its folder."""
