"""Write config/grafana/*.json: ``python -m tests.operator.write_dashboards``."""

from tests.operator.dashboards import FOLDER, text
from tests.operator.fleet import FLEET
from tests.operator.gateway_board import GATEWAY

__all__ = ["BOARDS"]

BOARDS = {"fleet.json": FLEET, "gateway.json": GATEWAY}

if __name__ == "__main__":
    for name, board in BOARDS.items():
        (FOLDER / name).write_text(text(board), encoding="utf-8")
        print(f"wrote {FOLDER / name}")
