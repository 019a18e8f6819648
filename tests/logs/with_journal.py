"""``citylab-gateway`` whose journal listens elsewhere: first its socket, then the command line."""

import sys
from pathlib import Path

from gateway.cli import main
from gateway.logs import setting_up

__all__: list[str] = []

if __name__ == "__main__":
    vars(setting_up)["SOCKET"] = Path(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
