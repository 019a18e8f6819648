"""``python -m gateway.cli`` is the same as ``citylab-gateway``."""

import sys

from gateway.cli import main

sys.exit(main())
