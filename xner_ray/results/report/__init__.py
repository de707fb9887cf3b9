"""What people read: tables at the end of a run, and the reference of all config keys."""
