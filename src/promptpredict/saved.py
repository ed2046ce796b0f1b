"""What was learned, as a file: written whole, read back checked.

Knows JSON and files; knows nothing of what was learned.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ValidationError

from promptpredict.errors import DataError
from promptpredict.writing import whole


class Saved(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Something learned that can be saved as JSON; ``what`` names it where a file is none."""

    what: ClassVar[str] = "a calibration"

    def unused(self) -> set[str]:
        """Return the fields that are not written, because they say nothing."""
        return set()

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        text = self.model_dump_json(indent=2, exclude=self.unused())
        try:
            with whole(Path(path)) as draft:
                draft.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f"{path} cannot be written ({error.strerror})") from None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})") from None
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(str(part) for part in fault["loc"])
            found = f"{where}: {fault['msg']}" if where else fault["msg"]
            raise DataError(
                f"{path} is not {cls.what} ({found}); give a file that an earlier run saved"
            ) from None
