"""The objective: the loss of a VAE, in five interactive figures."""

from vae_explorer.ui.header import current_checkpoint
from vae_explorer.ui.learn.objective import VIEWS, show_objective
from vae_explorer.ui.page import open_page
from vae_explorer.ui.widgets import select

SENTENCE = "The VAE loss in five interactive figures."

checkpoint = current_checkpoint()
stage, _ = open_page("The objective", SENTENCE, whole=True)
with stage:
    view = select("view", "Figure", VIEWS)
    show_objective(view, checkpoint)
