"""A picture in the viewer: upright, without claims about the patient or millimetres."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_ifa.reading import picture_volume
from napari_ifa.volumes import SourceOrder, volume_from_file_order

pytestmark = pytest.mark.gui


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
def test_a_picture_opens_upright(desk, tmp_path, channels):
    array = np.zeros((20, 30, *channels), np.uint8)
    array[2:6, 3:9] = 255
    Image.fromarray(array).save(tmp_path / "square.png")

    desk.session.open_path(tmp_path / "square.png")
    desk.settle(lambda: desk.scene.image is not None)

    viewer = desk.viewer
    assert tuple(viewer.dims.order) == (0, 1, 2)
    assert viewer.dims.current_step[0] == 0
    np.testing.assert_array_equal(desk.scene.image.data, array[None])
    shown = viewer.screenshot(canvas_only=True, flash=False)[..., :3].min(axis=-1) > 200
    rows, columns = np.nonzero(shown)
    height, width = shown.shape
    assert rows.size > 100
    assert rows.max() < height / 2, "the square stands in the upper half"
    assert columns.max() < width / 2, "and on the left"


def test_no_letters_and_no_millimetres_stand_beside_a_picture(desk):
    scale_bar = desk.viewer.canvas.overlays["scale_bar"]
    letters = desk.workspace.letters
    study = volume_from_file_order(
        np.zeros((6, 5, 4), np.float32), np.eye(4), SourceOrder(kind="nifti")
    )

    desk.session.set_volume(picture_volume(np.zeros((20, 30))))
    assert letters.letters == ("", "", "", "")
    assert not scale_bar.visible

    desk.session.set_volume(study)
    assert letters.letters == ("A", "P", "R", "L")
    assert scale_bar.visible

    desk.session.set_volume(picture_volume(np.zeros((20, 30))))
    assert letters.letters == ("", "", "", "")
    assert not scale_bar.visible
