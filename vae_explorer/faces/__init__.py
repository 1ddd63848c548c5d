"""Faces in photos: found, and aligned as CelebA's are."""

from vae_explorer.faces.alignment import AlignedFace, align, face_from_eyes
from vae_explorer.faces.detection import Face, find_faces

__all__ = ["AlignedFace", "Face", "align", "face_from_eyes", "find_faces"]
