import gzip
import os
import random
from pathlib import Path

import pytest
import zstandard

from cortex_cli.collect.sources import Source
from cortex_cli.collect.streams import DamagedError, open_stream

TEXT = b"".join(b"%d of many lines\n" % number for number in range(20_000))


def packed(kind: str, data: bytes) -> bytes:
    return gzip.compress(data) if kind == "gzip" else zstandard.compress(data)


def read(path: Path) -> tuple[str, bytes]:
    with open_stream(Source("a", path)) as (content, stream):
        return content, stream.read()


def read_until_damage(path: Path) -> tuple[bytes, str]:
    found = b""
    with open_stream(Source("a", path)) as (_, stream):
        try:
            while line := stream.readline():
                found += line
        except DamagedError as error:
            return found, error.reason
    return found, ""


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_packing_is_recognised_from_the_content_not_the_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(packed(kind, TEXT))
    (tmp_path / "b.gz").write_bytes(TEXT)
    assert read(tmp_path / "a.jsonl") == (kind, TEXT)
    assert read(tmp_path / "b.gz") == ("plain", TEXT)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_several_packed_parts_are_one_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(packed(kind, TEXT) + packed(kind, b"") + packed(kind, b"end"))
    assert read(tmp_path / "a") == (kind, TEXT + b"end")


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_of_a_truncated_file_all_lines_before_the_damage_are_read(tmp_path: Path, kind: str) -> None:
    text = b"".join(os.urandom(40).hex().encode() + b"\n" for _ in range(8000))
    whole = packed(kind, text)
    for size in (len(whole) * 3 // 4, len(whole) - 1):
        (tmp_path / "a").write_bytes(whole[:size])
        found, reason = read_until_damage(tmp_path / "a")
        assert reason == f"damaged_{kind}"
        assert text.startswith(found)
        assert len(found) > size // 4


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_no_damage_does_more_than_end_the_file(tmp_path: Path, kind: str) -> None:
    chance = random.Random(7)
    whole = packed(kind, TEXT)
    for _ in range(60):
        harmed = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            harmed[chance.randrange(4, len(harmed))] ^= 1 << chance.randrange(8)
        (tmp_path / "a").write_bytes(harmed)
        assert read_until_damage(tmp_path / "a")[1] in {"", f"damaged_{kind}"}


def test_bytes_after_the_end_are_damage(tmp_path: Path) -> None:
    for kind in ("gzip", "zstd"):
        (tmp_path / "a").write_bytes(packed(kind, TEXT) + b"something else")
        assert read_until_damage(tmp_path / "a") == (TEXT, f"damaged_{kind}")


def test_a_zstd_bomb_is_unpacked_in_bounded_pieces(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(zstandard.compress(bytes(1 << 28)))
    with open_stream(Source("a", tmp_path / "a")) as (_, stream):
        assert stream.read1(1 << 30)[:1] == b"\0"
        pieces = iter(lambda: len(stream.read1(1 << 30)), 0)
        assert max(pieces) <= 32 << 20


def test_a_zstd_window_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    frame = compressor.compressobj()
    (tmp_path / "a").write_bytes(frame.compress(TEXT) + frame.flush())
    assert read_until_damage(tmp_path / "a") == (b"", "damaged_zstd")


def test_a_database_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"SQLite format 3\0" + bytes(84))
    assert read(tmp_path / "a")[0] == "sqlite"


def test_what_follows_the_start_is_never_taken_for_something_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\n\x1f\x8b\n")
    with open_stream(Source("a", tmp_path / "a", start=4)) as (content, stream):
        assert (content, stream.read()) == ("plain", b"\x1f\x8b\n")
