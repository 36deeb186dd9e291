"""The file that is replayed: row numbers, bucket ends and the fingerprint (section 11, "Source rows")."""

import csv
from datetime import datetime, timezone
from pathlib import Path

from identity import DAY_SECONDS, file_fingerprint

COLUMNS = ("open", "high", "low", "close")


class Feed:
    """Daily rows of a file, numbered from 0. Rows before `start` are history, which every process reads itself."""

    def __init__(self, path: Path, start: str) -> None:
        content = path.read_bytes()
        rows = list(csv.DictReader(content.decode().splitlines()))
        self.fingerprint = file_fingerprint(content)
        #: Values by row, in the order of COLUMNS.
        self.values = [tuple(float(row[column]) for column in COLUMNS) for row in rows]
        #: End of each bucket, milliseconds since the epoch: its open time plus the interval.
        self.end_ms = [_open_ms(row["date"]) + DAY_SECONDS * 1_000 for row in rows]
        self.first_row = next(at for at, row in enumerate(rows) if row["date"] >= start)

    def __len__(self) -> int:
        return len(self.values)

    def close(self, row: int) -> float:
        return self.values[row][COLUMNS.index("close")]


def _open_ms(date: str) -> int:
    return round(datetime.fromisoformat(date).replace(tzinfo=timezone.utc).timestamp() * 1_000)
