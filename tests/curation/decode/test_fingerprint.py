"""The digest identifies frames exactly; the signature survives small changes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curation.decode.fingerprint import NUM_FRAMES, Fingerprint, pack_signature, unpack_signature
from curation.decode.thumbnail import make_thumbnail
from curation.flow.reference import to_grey
from examples.draw_scenes import film, to_arrays


def compute_fingerprint(frames):
    fingerprint = Fingerprint()
    for rgb in frames:
        grey = to_grey(rgb)
        fingerprint.add(grey, make_thumbnail(grey, rgb))
    return fingerprint


def test_digest_depends_on_the_frames_and_their_order():
    frames = to_arrays(film(1, 5))
    digest = compute_fingerprint(frames).digest
    assert compute_fingerprint([frame.copy() for frame in frames]).digest == digest
    assert compute_fingerprint(frames[::-1]).digest != digest
    assert compute_fingerprint(frames[:-1]).digest != digest


def test_digest_does_not_depend_on_the_memory_layout():
    rgb = to_arrays(film(1, 1))[0]
    grey = to_grey(rgb)
    padded, fingerprint = np.pad(grey, ((0, 0), (0, 8))), Fingerprint()
    fingerprint.add(padded[:, : grey.shape[1]], make_thumbnail(grey, rgb))
    assert fingerprint.digest == compute_fingerprint([rgb]).digest


def test_digest_changes_with_one_pixel():
    frames = to_arrays(film(1, 3))
    changed = [frame.copy() for frame in frames]
    changed[2][17, 33] ^= 128
    assert compute_fingerprint(changed).digest != compute_fingerprint(frames).digest


def test_digest_changes_with_the_colour_of_equal_grey_values():
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    grey = to_grey(red)
    other = np.repeat(grey[..., None], 3, 2)
    assert (to_grey(other) == grey).all()
    assert compute_fingerprint([red]).digest != compute_fingerprint([other]).digest


def test_signature_has_up_to_16_frames_and_no_flat_ones():
    frames = to_arrays(film(1, 40), 64)
    assert compute_fingerprint(frames).signature.shape == (NUM_FRAMES, 3)
    assert compute_fingerprint(frames[:3]).signature.shape == (3, 3)
    assert compute_fingerprint([np.zeros((64, 64, 3), np.uint8)]).signature.shape == (0, 3)


def test_brightness_changes_few_bits_of_a_signature():
    frames = to_arrays(film(1, 3))
    darker = [(frame * 0.7).astype(np.uint8) for frame in frames]
    bits = np.bitwise_count(compute_fingerprint(frames).signature ^ compute_fingerprint(darker).signature)
    assert bits.max() <= 6


@given(arrays(np.uint64, st.tuples(st.integers(0, 4), st.just(3))))
def test_packed_signature_is_unpacked_unchanged(signature):
    assert (unpack_signature(pack_signature(signature)) == signature).all()
