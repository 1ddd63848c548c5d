"""The objective: what a VAE minimises, in five pieces to move by hand."""

from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.learn.objective import VIEWS, show_objective
from vae_explorer.ui.page import open_page
from vae_explorer.ui.widgets import select

SENTENCE = "What a variational autoencoder minimises, in five pieces to hold in your hand."

checkpoint = current_checkpoint()
stage, _ = open_page("The objective", SENTENCE, whole=True)
with stage:
    view = select("view", "Which piece", VIEWS)
    show_objective(view, checkpoint.card)
