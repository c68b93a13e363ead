"""``python -m napari_ifa.cli``: the command line without an installed command."""

from __future__ import annotations

import sys

from napari_ifa.cli import main

sys.exit(main())
