"""Registry of data sets. A new one is one entry in `DATASETS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from vae_explorer.data.base import Source
from vae_explorer.data.builtin import read_digits, read_torchvision
from vae_explorer.data.celeba import digest_celeba, read_celeba
from vae_explorer.data.folder import digest_folder, read_folder

DIGIT_NAMES = tuple("0123456789")


@dataclass(frozen=True)
class DatasetSpec:
    """One data set: what a card says of it, and how it is read.

    Attributes
    ----------
    name : str
        As on the command line.
    title : str
        As people say it.
    licence : str
    terms : str
        One sentence on what the licence asks for.
    citation : str
    url : str
        Where it comes from; empty where it comes from the user.
    channels : int
        1 for grey images, 3 for RGB.
    image_size : int or None
        Side in pixels; None where it is chosen when the set is prepared.
    read : callable (root, size, source) -> Source
        Finds the images and streams them; raises `DatasetError` if it cannot.
    label_names : tuple of str
        Empty where the names come from the source, or there are no labels.
    digest : callable (root, source) -> str, or None
        Computes what `Source.digest` would be, without reading an image; None where the archives
        are published and checked.
    shares : tuple of three floats, or None
        Shares of train, val and test in a seeded split; None where the split is published.
    bundled : bool
        Comes with an installed package and is small: prepared on first use, without asking.
    needs_source : bool
        Cannot be read without ``--source``, after which its cache is named.
    counts : mapping of str to int
        Images of each split; empty where only preparing it tells.
    download_bytes : int
        What is fetched when it is prepared; 0 where nothing is.
    """

    name: str
    title: str
    licence: str
    terms: str
    citation: str
    url: str
    channels: int
    image_size: int | None
    read: Callable[[Path, int, Path | None], Source]
    label_names: tuple[str, ...] = ()
    digest: Callable[[Path, Path | None], str] | None = None
    shares: tuple[float, float, float] | None = None
    bundled: bool = False
    needs_source: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    download_bytes: int = 0

    def title_with(self, source_name: str) -> str:
        """Name the data, with what people call their own: "Your own images: cats"."""
        return f"{self.title}: {source_name}" if source_name else self.title


_SPECS = (
    DatasetSpec(
        name="mnist",
        title="MNIST",
        licence="CC BY-SA 3.0",
        terms="May be shared and adapted with attribution and under the same licence.",
        citation="LeCun, Cortes, Burges, The MNIST database of handwritten digits, 1998",
        url="http://yann.lecun.com/exdb/mnist/",
        channels=1,
        image_size=28,
        read=partial(read_torchvision, "MNIST"),
        label_names=DIGIT_NAMES,
        counts={"train": 60_000, "test": 10_000},
        download_bytes=11_594_722,
    ),
    DatasetSpec(
        name="fashion-mnist",
        title="Fashion-MNIST",
        licence="MIT",
        terms="May be used, changed and shared freely if the licence text is included.",
        citation=(
            "Xiao, Rasul, Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking "
            "Machine Learning Algorithms, 2017, arXiv:1708.07747"
        ),
        url="https://github.com/zalandoresearch/fashion-mnist",
        channels=1,
        image_size=28,
        read=partial(read_torchvision, "FashionMNIST"),
        label_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        counts={"train": 60_000, "test": 10_000},
        download_bytes=30_878_645,
    ),
    DatasetSpec(
        name="digits",
        title="Digits, 8×8",
        licence="CC BY 4.0",
        terms="May be shared and adapted with attribution.",
        citation=(
            "Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
            "Repository, 1998, doi:10.24432/C50P49"
        ),
        url="https://archive.ics.uci.edu/dataset/80",
        channels=1,
        image_size=8,
        read=read_digits,
        label_names=DIGIT_NAMES,
        shares=(0.7, 0.1, 0.2),
        counts={"train": 1_258, "val": 180, "test": 359},
        bundled=True,
    ),
    DatasetSpec(
        name="celeba",
        title="CelebA",
        licence="Non-commercial research only",
        terms=(
            "For non-commercial research only; the images may not be redistributed. Models inherit "
            "the biases of the data: most images show young, light-skinned, smiling celebrities, "
            "and the attributes are judgements of annotators."
        ),
        citation=("Liu, Luo, Wang, Tang, Deep Learning Face Attributes in the Wild, ICCV 2015"),
        url="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        channels=3,
        image_size=None,
        read=read_celeba,
        digest=digest_celeba,
    ),
    DatasetSpec(
        name="folder",
        title="Your images",
        licence="That of your images",
        terms="Your own images: their licence is up to you.",
        citation="",
        url="",
        channels=3,
        image_size=None,
        read=read_folder,
        digest=digest_folder,
        shares=(0.8, 0.1, 0.1),
        needs_source=True,
    ),
)

DATASETS: dict[str, DatasetSpec] = {spec.name: spec for spec in _SPECS}


def is_inverted(dataset: str, channels: int) -> bool:
    """Say whether images are shown inverted: those of MNIST and its kin, which store ink as 1.

    Images in colour that were prepared in grey are grey photos, or paper that is white already.

    Parameters
    ----------
    dataset : str
        Name of the data set, also one that is not known here.
    channels : int
        Of the images as they were prepared.
    """
    spec = DATASETS.get(dataset)
    return channels == 1 and (spec is None or spec.channels == 1)
