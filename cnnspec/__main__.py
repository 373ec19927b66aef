"""`python -m cnnspec` is the `cnnspec` command."""

import sys

from cnnspec.cli.main import main

sys.exit(main())
