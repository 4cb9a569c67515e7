"""``python -m flow`` is ``intaglio``."""

from __future__ import annotations

import sys

from flow.cli import main

sys.exit(main())
