"""The objective: what a VAE minimises, in five pieces to move by hand."""

from vae_explorer.ui.learn.objective import VIEWS, draw_objective
from vae_explorer.ui.page import open_page
from vae_explorer.ui.sidebar import current_checkpoint
from vae_explorer.ui.widgets import choose

SENTENCE = "What a variational autoencoder minimises, in five pieces to hold in your hand."

checkpoint = current_checkpoint()
stage, _ = open_page("The objective", SENTENCE, whole=True)
with stage:
    view = choose("view", "Which piece", VIEWS)
    draw_objective(view, checkpoint.card)
