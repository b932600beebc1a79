"""Ids of containers, images and networks."""

from __future__ import annotations

import os

import pytest

from ch04_images import state


def test_no_host_name_looks_like_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve decimal digits are one to the C library's resolver, whatever /etc/hosts says: inet_aton(3)."""
    drawn = [bytes.fromhex("648778529586" + "ab" * 26), bytes.fromhex("64877852958f" + "12" * 26)]
    monkeypatch.setattr(os, "urandom", lambda _: drawn.pop(0))
    assert state.new_id() == "64877852958f" + "12" * 26
