"""Arrays of images in records -> grids, panels, strips and GIF frames. Images are uint8 [..., C, H, W], shown as they are."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from dipddpm_utils.page.names import look
from dipddpm_utils.page.style import finish, new, styled

Images = NDArray[np.uint8]


def tile(images: Images, columns: int = 8) -> Images:
    """uint8 [N, C, H, W] -> one picture [h, w] (C = 1) or [h, w, 3], `columns` images a row, a white pixel between them.

    ValueError if images is not uint8 with four axes and one or three channels.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images is {images.dtype} {list(images.shape)}, expected uint8 [N, 1 or 3, H, W]")
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (height + 1), i % columns * (width + 1)
        sheet[y : y + height, x : x + width] = image.transpose(1, 2, 0)
    return sheet[..., 0] if channels == 1 else sheet


def png(picture: Images) -> bytes:
    """A picture of `tile` as a small PNG, in 32 tones of grey or 256 colours."""
    data = io.BytesIO()
    Image.fromarray(picture).quantize(32 if picture.ndim == 2 else 256).save(data, "PNG", optimize=True)
    return data.getvalue()


def img(data: bytes, alt: str, look: str = "", kind: str = "png") -> str:
    """HTML of a picture that travels with the page. alt: for who cannot see it; look: further attributes; kind: png or gif."""
    about = f'alt="{escape(alt)}" {look}'.rstrip()
    return f'<img {about} src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def with_fewer_colours(png: bytes) -> bytes:
    """The same picture in 256 colours, a third of the bytes: it is kept in figure, notebook and page.

    By octree, since the usual median cut spends its colours on the greys of the text, and merges those of a few markers.
    """
    data, picture = io.BytesIO(), Image.open(io.BytesIO(png)).convert("RGB")
    few = picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(data, "PNG", optimize=True)
    return min(png, data.getvalue(), key=len)


@styled
def grids(sets: Mapping[str, Images], title: str, note: str, *, columns: int = 8) -> Figure:
    """Grids of images side by side, one a name."""
    tiles = {name: tile(images, columns) for name, images in sets.items()}
    height, width = next(iter(tiles.values())).shape[:2]
    inches = min(7.0 if len(tiles) > 1 else 4.0, 2.6 * len(tiles) + 1)
    figure, panels = new(len(tiles), width=inches, height=inches / len(tiles) * height / width + 0.7)
    for ax, (name, picture) in zip(panels, tiles.items(), strict=True):
        _show(ax, picture)
        ax.set_title(name, loc="left")
    return finish(figure, title, note)


def rows_of_images(rows: Mapping[str, Images], title: str, note: str, *, width: float = 6.4) -> Figure:
    """One row of images a name: clean, noisy, restored... All rows show the same images in the same order."""
    return rows_with_labels(np.stack(list(rows.values())), (), title, note, list(rows), width=width)


def strip(arrays: Mapping[str, Images], which: str, *, title: str, note: str) -> Figure:
    """`which` ('forward' or 'reverse') of a ddpm record: four images, a row each, over the steps t above them."""
    images, steps = arrays[which], arrays[f"{which}_t"]
    keep = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), 12)).round().astype(int))
    labels = [f"t = {t:.0f}" if t >= 0 else "result" for t in steps[keep]]
    return rows_with_labels(images[keep][:, :4].swapaxes(0, 1), labels, title, note)


@styled
def rows_with_labels(
    images: Images, labels: Sequence[str], title: str, note: str, names: Sequence[str] = (), *, width: float = 7.4
) -> Figure:
    """images [rows, columns, C, H, W], perhaps with a label over each column and a name beside each row."""
    count, across, _, high, wide = images.shape
    letters = max((len(line) for name in names for line in name.splitlines()), default=0)  # the longest, of 0.07 inches each
    figure, (ax,) = new(width=width, height=(width - 0.1 - 0.07 * letters) / across * count * high / wide + 0.75)
    _show(ax, tile(images.reshape(-1, *images.shape[2:]), across))
    ax.set_xticks([(wide + 1) * i + wide / 2 for i in range(len(labels))], labels, fontsize=8)
    ax.tick_params(bottom=False, labeltop=True, labelbottom=False, top=False, left=False)
    ax.set_yticks([(high + 1) * i + high / 2 for i in range(len(names))], names)
    return finish(figure, title, note)


def snapshots(records: Mapping[str, Any], title: str, note: str) -> Figure:
    """What each net (records of kind dip_images) makes of one noisy image over the iterations of its fit.

    Fits may be of different length: columns are the iterations at which all were kept, then each net's best output.
    """
    held = [record.arrays for record in records.values()]
    kept = [dict(zip(own["snapshot_iterations"].tolist(), own["snapshots"], strict=True)) for own in held]
    steps = sorted(set.intersection(*map(set, kept)))
    shown = [
        np.stack([own[name][0] for name in ("clean", "noisy")] + [looks[step][0] for step in steps] + [own["outputs_best"][0]])
        for own, looks in zip(held, kept, strict=True)
    ]
    labels = ["clean", "noisy", *(f"{step:.0f}" for step in steps), "best (oracle)"]
    return rows_with_labels(np.stack(shown), labels, title, note, [look(net).label for net in records])


def gif_frames(images: Images) -> Images:
    """uint8 [F, N, C, H, W] -> the frames of an animation, four images a row, uint8 [F, h, w] or [F, h, w, 3]."""
    return np.stack([tile(frame, columns=4) for frame in images])


def _show(ax: Any, picture: Images) -> None:
    ax.imshow(picture, vmin=0, vmax=255, aspect="equal")
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
