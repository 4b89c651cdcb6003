"""The table of corrections, in SQLite by default or in any database that SQLAlchemy speaks to.

The page opens it through st.connection, training by `open_store`. A picture is kept as what the network saw of it, which is what is learned
from, and as it came, small, for people to review.
"""

import contextlib
import datetime
import hashlib
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy
from sqlalchemy import Column, Connection, DateTime, Engine, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from models.datasets import DatasetInfo
from models.errors import InklingError

VARIABLE = "INKLING_CORRECTIONS"
FILE = Path(__file__).parent.parent / "corrections.sqlite3"
MOST = 2000  # corrections of a data set
MOST_PICTURE_BYTES = 400_000

TABLE = Table(
    "corrections",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("created", DateTime, nullable=False),  # UTC
    Column("dataset", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),  # of the pixels
    Column("label", String(200), nullable=False),
    Column("said", String(200), nullable=False),
    Column("network", String(64), nullable=False),
    Column("shape", String(24), nullable=False),
    Column("pixels", LargeBinary, nullable=False),
    Column("picture", LargeBinary(MOST_PICTURE_BYTES), nullable=False),  # without a length MySQL's end at 64 kB
    UniqueConstraint("dataset", "sha256"),
)


class StoreError(InklingError):
    """A correction could not be kept, read or deleted. The message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One picture that was read wrong.

    pixels: uint8 [C, H, W], as the network saw it, which `find` may leave out. picture: a small PNG of it as it came, which `find` leaves out. said: what `network` had answered, empty where it
    declined. label: what it shows. created: UTC. id: 0 until it is kept.
    """

    dataset: str
    label: str
    said: str
    network: str
    pixels: np.ndarray | None
    picture: bytes = b""
    created: datetime.datetime | None = None
    id: int = 0


def url() -> str:
    """The database: $INKLING_CORRECTIONS as SQLAlchemy reads it, or the file corrections.sqlite3 beside app.py."""
    return os.environ.get(VARIABLE) or f"sqlite:///{FILE}"


def open_store() -> Engine:
    """The database of `url`, its table made. Raises StoreError."""
    with told("opened"):
        engine = sqlalchemy.create_engine(url())
    make_table(engine)
    return engine


def file_number(engine: Engine) -> int | None:
    """The inode of an SQLite database's file, 0 where it was deleted; None of a database that is no file."""
    place = engine.url.database or ":memory:"
    if engine.dialect.name != "sqlite" or place.startswith((":memory:", "file:")):
        return None
    try:
        return os.stat(place).st_ino
    except OSError:
        return 0


def make_table(engine: Engine) -> None:
    """Makes the table where there is none, whoever else does so at once. Raises StoreError."""
    with told("opened"):
        try:
            _make(engine)
        except SQLAlchemyError:  # PostgreSQL's IF NOT EXISTS still collides with another server's at the same moment
            _make(engine)


def _make(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(CreateTable(TABLE, if_not_exists=True))


def keep(engine: Engine, correction: Correction, about: DatasetInfo) -> None:
    """Keeps a correction; one of the same pixels is replaced. Raises StoreError on a label or shape that `about` has not, and when it is full."""
    keep_all(engine, [correction], about)


def keep_all(engine: Engine, corrections: Iterable[Correction], about: DatasetInfo) -> None:
    """Keeps all of them or, where one cannot be, none: see `keep`."""
    rows = [_row(each, about) for each in corrections]
    with told("kept"):
        try:
            _write(engine, rows, about)
        except IntegrityError:  # somebody else kept the same picture in between, which is replaced now
            _write(engine, rows, about)


def _row(correction: Correction, about: DatasetInfo) -> dict:
    if correction.label not in about.labels:
        raise StoreError(f"{correction.label!r} is no class of {about.title}; the classes are {', '.join(about.labels)}")
    if correction.pixels.shape != about.shape or correction.pixels.dtype != np.uint8:
        raise StoreError(
            f"the picture is {correction.pixels.dtype} {correction.pixels.shape}; {about.title} has uint8 {about.shape}: prepare it as inference does"
        )
    if len(correction.picture) > MOST_PICTURE_BYTES:
        raise StoreError(f"the picture has {len(correction.picture):,} bytes; at most {MOST_PICTURE_BYTES:,} are kept: make it smaller")
    pixels = np.ascontiguousarray(correction.pixels).tobytes()
    return {
        "dataset": correction.dataset, "sha256": hashlib.sha256(pixels).hexdigest(),
        "created": datetime.datetime.now(datetime.UTC).replace(tzinfo=None),
        "label": correction.label, "said": correction.said, "network": correction.network,
        "shape": _shape(about), "pixels": pixels, "picture": correction.picture,
    }  # fmt: skip


def _write(engine: Engine, rows: list[dict], about: DatasetInfo) -> None:
    with engine.begin() as connection:
        for row in rows:
            same = (TABLE.c.dataset == row["dataset"]) & (TABLE.c.sha256 == row["sha256"])
            if connection.execute(TABLE.update().where(same).values(**row)).rowcount:
                continue
            if _count(connection, about) >= MOST:
                raise StoreError(
                    f"{MOST:,} corrections of {about.title} are kept, the most there can be; delete some on the Corrections page"
                )
            connection.execute(TABLE.insert().values(**row))


def _count(connection: Connection, about: DatasetInfo) -> int:
    return connection.execute(sqlalchemy.select(sqlalchemy.func.count()).where(_is_of(about))).scalar_one()


def _is_of(about: DatasetInfo) -> sqlalchemy.ColumnElement[bool]:
    """Those of a data set, without those of an earlier one of its name, with other classes or another size."""
    is_whole = sqlalchemy.func.length(TABLE.c.pixels) == math.prod(about.shape)
    return (TABLE.c.dataset == about.name) & (TABLE.c.shape == _shape(about)) & TABLE.c.label.in_(about.labels) & is_whole


def count(engine: Engine, about: DatasetInfo) -> int:
    """How many corrections `find` finds. Raises StoreError."""
    with told("read"), engine.connect() as connection:
        return _count(connection, about)


def find(engine: Engine, about: DatasetInfo, with_pixels: bool = True) -> list[Correction]:
    """The corrections of a data set, newest first; those of an earlier one of its name, with other classes or another size, are left out.

    Their pictures are left out too: see `pictures`; so may be their pixels, up to 98 MB, by with_pixels.
    Raises StoreError.
    """
    left_out = {"picture"} if with_pixels else {"picture", "pixels"}
    wanted = sqlalchemy.select(*(column for column in TABLE.c if column.name not in left_out)).where(_is_of(about))
    with told("read"), engine.connect() as connection:
        rows = connection.execute(wanted.order_by(TABLE.c.created.desc(), TABLE.c.id.desc()).limit(MOST)).all()
    return [
        Correction(
            id=row.id, created=row.created, dataset=row.dataset, label=row.label, said=row.said, network=row.network,
            pixels=np.frombuffer(row.pixels, np.uint8).reshape(about.shape) if with_pixels else None,
        )
        for row in rows
    ]  # fmt: skip


def count_left_over(engine: Engine, known: Iterable[DatasetInfo]) -> int:
    """How many corrections `find` finds for none of the data sets there are. Raises StoreError."""
    with told("read"), engine.connect() as connection:
        return connection.execute(sqlalchemy.select(sqlalchemy.func.count()).where(_is_of_none(known))).scalar_one()


def remove_left_over(engine: Engine, known: Iterable[DatasetInfo]) -> None:
    """Deletes those. Raises StoreError."""
    with told("deleted"), engine.begin() as connection:
        connection.execute(TABLE.delete().where(_is_of_none(known)))


def _is_of_none(known: Iterable[DatasetInfo]) -> sqlalchemy.ColumnElement[bool]:
    return ~sqlalchemy.or_(*map(_is_of, known))


def pictures(engine: Engine, ids: Iterable[int]) -> dict[int, bytes]:
    """The pictures of corrections as they came, PNG, by id. Raises StoreError."""
    wanted = sqlalchemy.select(TABLE.c.id, TABLE.c.picture).where(TABLE.c.id.in_(list(ids)))
    with told("read"), engine.connect() as connection:
        return {row.id: bytes(row.picture) for row in connection.execute(wanted)}


def pixels(engine: Engine, ids: Iterable[int], about: DatasetInfo) -> dict[int, np.ndarray]:
    """What networks see of corrections of a data set, uint8 [C, H, W], by id. Raises StoreError."""
    wanted = sqlalchemy.select(TABLE.c.id, TABLE.c.pixels).where(TABLE.c.id.in_(list(ids)) & _is_of(about))
    with told("read"), engine.connect() as connection:
        return {row.id: np.frombuffer(row.pixels, np.uint8).reshape(about.shape) for row in connection.execute(wanted)}


def _shape(about: DatasetInfo) -> str:
    return "x".join(map(str, about.shape))


def remove(engine: Engine, corrections: Iterable[Correction]) -> None:
    """Deletes corrections as `find` found them; what is gone already is no error, and what has its id since stays. Raises StoreError."""
    found = [(each.id, each.created) for each in corrections]
    with told("deleted"), engine.begin() as connection:
        connection.execute(TABLE.delete().where(sqlalchemy.tuple_(TABLE.c.id, TABLE.c.created).in_(found)))


def remove_all(engine: Engine, dataset: str) -> None:
    """Deletes every correction of a data set. Raises StoreError."""
    with told("deleted"), engine.begin() as connection:
        connection.execute(TABLE.delete().where(TABLE.c.dataset == dataset))


@contextlib.contextmanager
def told(done: str) -> Iterator[None]:
    """Tells what goes wrong with the database in one line, without SQL and without the address, which may hold a password."""
    try:
        yield
    except (SQLAlchemyError, ImportError, ValueError) as error:  # the latter two: a driver that is not installed, a port that is no number
        cause = _cause(error)
        check = f"check the database that {VARIABLE} or .streamlit/secrets.toml names, and the right to write to it"
        fix = "free some space there: SQLite needs a little even for deleting" if "disk is full" in cause else check
        raise StoreError(f"corrections cannot be {done} ({cause[:160]}); {fix}") from None


def _cause(error: Exception) -> str:
    """One line of what an error says; its kind alone where a driver names the server or its user, as when it cannot be reached."""
    if isinstance(error, ValueError):
        return "its address cannot be read"
    source = getattr(error, "orig", None) or error
    if isinstance(error, DBAPIError) and error.statement is None and not isinstance(source, sqlite3.Error):
        return type(source).__name__
    return (str(source).strip() or type(error).__name__).splitlines()[0]
