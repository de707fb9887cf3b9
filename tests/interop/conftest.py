"""Tests with other libraries, each in an environment of its own: only `make test-interop` asks for them.

An environment costs minutes and up to 3 GB, and needs a package index.
"""

import os

collect_ignore_glob = [] if os.environ.get("XNER_INTEROP") else ["test_*.py"]
