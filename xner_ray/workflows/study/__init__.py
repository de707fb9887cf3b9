"""The paper's studies: grids of settings, trained and measured by the stages of a run, as one table, figures and a page."""
