import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curation.decode.fingerprint import NUM_FRAMES, Fingerprint, pack_signature, unpack_signature
from curation.decode.thumbnail import make_thumbnail
from curation.flow import reference as flow
from examples.draw_scenes import film, to_arrays


def take_fingerprint(frames):
    fingerprint = Fingerprint()
    for rgb in frames:
        grey = flow.to_grey(rgb)
        fingerprint.add(grey, make_thumbnail(grey, rgb))
    return fingerprint


def test_the_digest_is_of_the_pictures_in_their_order():
    frames = to_arrays(film(1, 5))
    digest = take_fingerprint(frames).digest
    assert take_fingerprint([frame.copy() for frame in frames]).digest == digest
    assert take_fingerprint(frames[::-1]).digest != digest
    assert take_fingerprint(frames[:-1]).digest != digest


def test_one_pixel_makes_another_digest():
    frames = to_arrays(film(1, 3))
    changed = [frame.copy() for frame in frames]
    changed[2][17, 33] ^= 128
    assert take_fingerprint(changed).digest != take_fingerprint(frames).digest


def test_another_colour_of_the_same_grey_makes_another_digest():
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 200
    grey = flow.to_grey(red)
    other = np.repeat(grey[..., None], 3, 2)
    assert (flow.to_grey(other) == grey).all()
    assert take_fingerprint([red]).digest != take_fingerprint([other]).digest


def test_a_signature_holds_up_to_16_frames_and_no_flat_ones():
    frames = to_arrays(film(1, 40), 64)
    assert take_fingerprint(frames).signature.shape == (NUM_FRAMES, 3)
    assert take_fingerprint(frames[:3]).signature.shape == (3, 3)
    assert take_fingerprint([np.zeros((64, 64, 3), np.uint8)]).signature.shape == (0, 3)


def test_brightness_alone_hardly_changes_a_signature():
    frames = to_arrays(film(1, 3))
    darker = [(frame * 0.7).astype(np.uint8) for frame in frames]
    bits = np.bitwise_count(take_fingerprint(frames).signature ^ take_fingerprint(darker).signature)
    assert bits.max() <= 6


@given(arrays(np.uint64, st.tuples(st.integers(0, 4), st.just(3))))
def test_a_signature_survives_being_written(signature):
    assert (unpack_signature(pack_signature(signature)) == signature).all()
