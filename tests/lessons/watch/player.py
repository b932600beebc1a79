"""byexample's ear: prints each step of a lesson and what it answered, so that `make ch03` can be watched."""

from __future__ import annotations

from typing import Any

from byexample.concern import Concern

stability = "stable"


class Player(Concern):  # type: ignore[misc]
    target = "player"

    def start_example(self, example: Any, options: Any) -> None:
        print(f"\n$ {example.source.rstrip()}", flush=True)

    def skip_example(self, example: Any, options: Any) -> None:
        print(f"\n$ {example.source.rstrip()}\n(skipped: this is not for your machine)", flush=True)

    def success(self, example: Any, got: str, differ: Any) -> None:
        print(got.rstrip(), flush=True)
