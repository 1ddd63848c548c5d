"""Faces in photos: detection, alignment as in CelebA, and editing in place."""

from vae_explorer.faces.alignment import AlignedFace, align, face_from_eyes, whole_face
from vae_explorer.faces.detection import find_faces
from vae_explorer.faces.editing import edit_photo
from vae_explorer.faces.geometry import Face

__all__ = [
    "AlignedFace",
    "Face",
    "align",
    "edit_photo",
    "face_from_eyes",
    "find_faces",
    "whole_face",
]
