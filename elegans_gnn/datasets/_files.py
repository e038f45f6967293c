"""Users' own pictures: image files, or CSV files with one picture a row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from elegans_gnn.datasets._tables import TABLE_ENDINGS, check_white, read_table
from elegans_gnn.errors import invalid

if TYPE_CHECKING:
    from PIL import Image

PICTURE_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_MODES = {1: "L", 3: "RGB"}
_GREY16 = "I;16"
# Pillow's 32-bit integers and floats do not say which value is white.
_WITHOUT_WHITE = ("I", "F")


def read_images(
    paths: Iterable[Path | str], channels: int, size: int, white: float | None = None
) -> tuple[list[str], Tensor]:
    """Pictures of the shape a model takes.

    Args:
        paths: picture files (PNG or another format that Pillow reads), or CSV files (.tsv: separated by tabs). A
            picture is grey, with 8 or 16 bits, or has three colours of 8 bits; for a model of grey images colours
            become their luminance (ITU-R 601), and 8-bit grey becomes three equal colours. A CSV file has one picture a
            row: channels * size * size numbers from 0 to `white`. A first row without numbers is a heading.
        channels, size: of the model's images. 0 channels is for a model that takes grey and colour pictures; the first
            picture then decides for all of them.
        white: the value of white in the CSV files. Without it, white is 1 in a file without larger numbers, and 255 in
            a file with numbers above 16; a file in between is refused.

    Returns:
        A name for each picture, and the pixels in 0..1, [M, channels, size, size].

    Raises:
        ValueError: a file is missing or damaged, has another shape, or its white is unknown; the message names it.
    """
    check_white(white)
    names: list[str] = []
    parts: list[Tensor] = []
    tables = 0
    for path in map(Path, paths):
        if not path.is_file():
            got = "is a folder" if path.is_dir() else "does not exist"
            raise invalid("IMAGES", "files", f"{path}, which {got}", "give paths of PNG or CSV files")
        if path.suffix.lower() in TABLE_ENDINGS:
            tables += 1
            rows = read_table(path, channels, size, white)
            names += [f"{path.name}:{number + 1}" for number in range(len(rows))]
            parts.append(rows)
        else:
            names.append(path.name)
            parts.append(_read_picture(path, channels, size)[None])
        channels = parts[0].shape[1]
    if not parts:
        raise invalid("IMAGES", "at least one file", "none", "give paths of PNG or CSV files")
    if white is not None and not tables:
        raise invalid("--white", "omitted without CSV files", f"{white:g}", "omit it: it is for CSV files alone")
    return names, torch.cat(parts)


def write_images(pixels: Tensor, names: Iterable[str], folder: Path) -> list[Path]:
    """Write grey pictures [M, 1, H, W] in 0..1 as PNG files into a new folder.

    Args:
        pixels: the pictures.
        names: one for each picture. Characters that file names cannot hold are replaced; equal names get a number.
        folder: is created, with the folders above it.

    Returns:
        The paths of the files.

    Raises:
        FileExistsError: the folder exists.
    """
    folder.mkdir(parents=True, exist_ok=False)
    written: list[Path] = []
    for name, picture in zip(names, pixels[:, 0], strict=True):
        stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name.removesuffix(".png"))
        path, number = folder / f"{stem}.png", 1
        while path.exists():
            number += 1
            path = folder / f"{stem}-{number}.png"
        write_image(picture, path)
        written.append(path)
    return written


def write_image(pixels: Tensor, path: Path) -> None:
    """Write one grey picture [H, W] in 0..1 as a PNG file, which must be new."""
    from PIL import Image

    values = (pixels.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    with open(path, "xb") as file:
        Image.fromarray(values).save(file, format="PNG")


def _channels_of(picture: Image.Image) -> tuple[int, ...]:
    """How many channels a picture can have: three with a palette, or also one if all the colours it uses are greys."""
    if picture.mode != "P":
        return (len(picture.getbands()),)
    used = np.asarray(picture.convert("RGB"))
    return (1, 3) if bool((used == used[..., :1]).all()) else (3,)


def _as(picture: Image.Image, mode: str) -> Image.Image:
    """The picture as grey or in three colours; a palette's colours are looked up before they become grey."""
    return (picture.convert("RGB") if picture.mode == "P" else picture).convert(mode)


def _read_picture(path: Path, channels: int, size: int) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            opened.load()
            bands = _channels_of(opened)
            found = channels if channels in bands else bands[0]
            channels = channels or (found if found in _MODES else 3)
            width, height = opened.size
            mode = opened.mode
            # Grey becomes colour, and 8-bit colours become grey; transparency and other channels have no such rule.
            fits = found in _MODES and channels in _MODES and mode not in _WITHOUT_WHITE
            fits = fits and not (found != channels and mode.startswith(_GREY16))
            # Pillow's conversion would clip 16-bit values at 255.
            deep = mode.startswith(_GREY16)
            picture = (opened.copy() if deep else _as(opened, _MODES[channels])) if fits else None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        said = str(error).partition("\n")[0]
        raise invalid("IMAGES", "readable pictures", f"{path}, which is damaged ({said})", "save it again") from error
    if mode in _WITHOUT_WHITE:
        got = f"{path} with 32-bit values"
        raise invalid("IMAGES", "pictures of 8 or 16 bits a channel", got, "save it as an 8-bit picture")
    if picture is None:
        wanted = {1: "grey", 3: "colour"}.get(channels, "such")
        remedy = f"save it as a {wanted} picture"
        raise invalid("IMAGES", f"pictures with {channels} channel(s)", f"{path} with {found}", remedy)
    if (width, height) != (size, size):
        raise invalid("IMAGES", f"{size} x {size} pixels", f"{path} with {width} x {height}", "resize it")
    values = torch.from_numpy(np.asarray(picture, dtype=np.float32).copy()) / (65535 if deep else 255)
    return values.reshape(size, size, channels).permute(2, 0, 1)
