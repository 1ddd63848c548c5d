"""Faces in photos: detection, alignment as in CelebA, editing in place, and tuning to faces."""

from vae_explorer.faces.alignment import AlignedFace, align, face_from_eyes, whole_face
from vae_explorer.faces.detection import find_faces
from vae_explorer.faces.editing import edit_photo
from vae_explorer.faces.geometry import Face
from vae_explorer.faces.tuning import TunedFaces, tune_to_faces

__all__ = [
    "AlignedFace",
    "Face",
    "TunedFaces",
    "align",
    "edit_photo",
    "face_from_eyes",
    "find_faces",
    "tune_to_faces",
    "whole_face",
]
