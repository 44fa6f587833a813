"""``python -P -m midfill.cli``: the midfill command, where no script was installed."""

import sys

from midfill.cli import main

sys.exit(main())
