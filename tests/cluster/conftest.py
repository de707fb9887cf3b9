"""The tests of cluster/ find their helper beside them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
