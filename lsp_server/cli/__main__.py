"""``python -P -m midfill.lsp_server.cli``: the midfill command, where no script was installed."""

import sys

from midfill.lsp_server.cli import main

sys.exit(main())
