from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.support.tuned import wait_until_finished
from vae_explorer.checkpoints import Checkpoint, load_checkpoint
from vae_explorer.errors import RequestError, UnsupportedLayerError, VaeExplorerError
from vae_explorer.faces.tuning import TunedFaces
from vae_explorer.server import tuned
from vae_explorer.server.tuned import EVERYONE, MAX_TUNED, Scene, TunedDecoders, Tuning

TIMEOUT = 10
IMAGES = np.zeros((1, 1, 8, 8), np.float32)
PSNR = {stage: np.zeros(1) for stage in ("encoder", "z", "decoder")}


@dataclass
class Tuner:
    """Stands in for `tune_to_faces`: each call goes on once `go` is set, or it is cancelled."""

    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    cancelled: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    calls: int = 0
    error: Exception | None = None

    def __call__(
        self,
        checkpoint: Checkpoint,
        images: np.ndarray,
        *,
        progress: Callable[[float], object],
        is_cancelled: Callable[[], bool],
    ) -> TunedFaces:
        self.calls += 1
        progress(0.5)
        self.begun.release()
        while not self.go.wait(0.005):
            if is_cancelled():
                self.cancelled.release()
                raise VaeExplorerError("The tuning was cancelled.")
        if self.error:
            raise self.error
        return TunedFaces(np.zeros((len(images), 2), np.float32), checkpoint.model, PSNR)


@pytest.fixture
def tuner() -> Iterator[Tuner]:
    tuner = Tuner()
    yield tuner
    tuner.go.set()


@pytest.fixture
def decoders(tuner: Tuner) -> TunedDecoders:
    return TunedDecoders(workers=1, tune=tuner)


@pytest.fixture
def checkpoint(published_checkpoints: Path) -> Checkpoint:
    return load_checkpoint(published_checkpoints / "digits-vae-2d")


@pytest.fixture
def request_face(decoders: TunedDecoders, checkpoint: Checkpoint) -> Callable[[str, str], Tuning]:
    def request_face(owner: str, *faces: str) -> Tuning:
        scene = Scene("digits", checkpoint.card.fingerprint, faces)
        return decoders.request(owner, checkpoint, scene, np.repeat(IMAGES, len(faces), axis=0))

    return request_face


def acquire(semaphore: threading.Semaphore) -> None:
    assert semaphore.acquire(timeout=TIMEOUT)


def test_a_scene_is_tuned_to_once_and_found_by_its_id_alone(
    decoders: TunedDecoders, tuner: Tuner, request_face
) -> None:
    tuner.go.set()
    tuning = request_face("a", "1", "2")
    wait_until_finished(decoders)
    assert request_face("a", "1", "2") is tuning
    assert tuner.calls == 1
    assert decoders.find(tuning.decoder.id) is tuning.decoder
    assert tuning.decoder.z("2") is not None and tuning.decoder.z("3") is None
    for wrong in ("", "1", tuning.decoder.id[:-1], tuning.decoder.id + "A"):
        with pytest.raises(RequestError) as refusal:
            decoders.find(wrong)
        assert refusal.value.status == 404


def test_two_sessions_have_decoders_of_their_own(
    decoders: TunedDecoders, tuner: Tuner, request_face
) -> None:
    tuner.go.set()
    first, second = request_face("a", "1"), request_face("b", "1")
    wait_until_finished(decoders)
    assert first.decoder.id != second.decoder.id
    decoders.end("a")
    assert decoders.find(second.decoder.id)


def test_one_is_tuned_a_worker_and_the_others_know_how_many_are_before_them(
    decoders: TunedDecoders, tuner: Tuner, request_face
) -> None:
    tunings = [request_face(owner, "1") for owner in "abc"]
    acquire(tuner.begun)
    assert [tuning.is_begun for tuning in tunings] == [True, False, False]
    assert [tuning.progress for tuning in tunings] == [0.5, 0, 0]
    assert [decoders.count_before(tuning) for tuning in tunings] == [0, 1, 2]
    decoders.end("b")
    assert decoders.count_before(tunings[2]) == 1
    tuner.go.set()
    wait_until_finished(decoders)
    assert tunings[2].decoder and tunings[1].decoder is None
    assert tuner.calls == 2  # what ended while it waited was never begun


@pytest.mark.parametrize("how", ["end", "keep_only", "request"])
def test_what_nobody_waits_for_any_more_is_cancelled(
    decoders: TunedDecoders, tuner: Tuner, request_face, how: str
) -> None:
    tuning = request_face("a", "1")
    acquire(tuner.begun)
    match how:
        case "end":
            decoders.end("a")
        case "keep_only":
            decoders.keep_only("a", {"2", "3"})
        case "request":
            request_face("a", "2")
    acquire(tuner.cancelled)
    assert tuning.is_finished and tuning.decoder is None and not tuning.failure


def test_other_sessions_and_other_faces_go_on(
    decoders: TunedDecoders, tuner: Tuner, request_face
) -> None:
    tunings = [request_face(EVERYONE, "example"), request_face("a", "1"), request_face("b", "2")]
    request_face(EVERYONE, "other")
    decoders.end("c")
    decoders.keep_only("a", {"1", "5"})
    tuner.go.set()
    wait_until_finished(decoders)
    assert all(tuning.decoder for tuning in tunings)


def test_a_session_keeps_the_few_that_it_used_last(
    decoders: TunedDecoders, tuner: Tuner, request_face
) -> None:
    tuner.go.set()
    tunings = []
    for face in range(MAX_TUNED):
        tunings.append(request_face("a", str(face)))
        wait_until_finished(decoders)
    other = request_face("b", "0")
    request_face("a", "0")  # is used again
    newest = request_face("a", "new")
    wait_until_finished(decoders)
    assert [bool(tuning.decoder) for tuning in (*tunings, newest, other)] == [
        True,
        False,
        *[True] * (MAX_TUNED - 2),
        True,
        True,
    ]


def test_what_all_sessions_hold_is_limited_and_a_read_one_counts_as_used(
    tuner: Tuner, checkpoint: Checkpoint
) -> None:
    tuner.go.set()
    size = sum(v.nbytes for v in checkpoint.model.decoder.state_dict().values())
    decoders = TunedDecoders(workers=1, max_bytes=int(5 * size), tune=tuner)
    scene = Scene("digits", checkpoint.card.fingerprint, ("1",))
    tunings = []
    for owner in "abcd":
        tunings.append(decoders.request(owner, checkpoint, scene, IMAGES))
        wait_until_finished(decoders)
        decoders.find(tunings[0].decoder.id)
    assert tunings[0].decoder and tunings[3].decoder
    assert (
        sum(t.decoder.size for t in tunings if t.decoder)
        <= 5 * size
        < sum(4 * [tunings[0].decoder.size])
    )


def test_a_failure_is_said_and_not_repeated(
    decoders: TunedDecoders, tuner: Tuner, request_face
) -> None:
    tuner.error = ValueError("images must be finite")
    tuner.go.set()
    tuning = request_face("a", "1")
    wait_until_finished(decoders)
    assert (tuning.failure, tuning.decoder) == ("images must be finite", None)
    assert request_face("a", "1") is tuning


def test_a_decoder_that_the_browser_cannot_compute_is_kept_for_the_server(
    decoders: TunedDecoders, tuner: Tuner, request_face, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> bytes:
        raise UnsupportedLayerError("no")

    monkeypatch.setattr(tuned, "pack_model", refuse)
    tuner.go.set()
    tuning = request_face("a", "1")
    wait_until_finished(decoders)
    assert tuning.decoder.packed == b""
