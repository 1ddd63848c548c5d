"""What the stage is measured against: an image beside Streamlit's own slider, drawn by a rerun.

Run by `python -m benchmarks.live`.
"""

import numpy as np
import streamlit as st

from vae_explorer.checkpoints import list_checkpoints
from vae_explorer.images import for_display, to_pil
from vae_explorer.inference import decode
from vae_explorer.ui.cache import get_checkpoint, key_of

cards, _ = list_checkpoints()
model = get_checkpoint(key_of(cards["fashion-vae-2d"])).model
across = st.slider("z₁", -3.0, 3.0, 0.0)
image = decode(model, np.array([[across, 0.0]], np.float32))[0]
st.image(to_pil(for_display(image), 4))
