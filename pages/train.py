"""Train and watch: choose what to train, start it, and see it learn."""

from vae_explorer.ui.page import open_page
from vae_explorer.ui.train.form import choose_training
from vae_explorer.ui.train.run_panel import choose_run, launch, watch_run

SENTENCE = "Train a VAE and watch it learn. Training continues if you close the browser."

stage, _ = open_page("Train and watch", SENTENCE, whole=True)
with stage:
    name = choose_run()
    if name is None:
        arguments = choose_training()
        if arguments is not None:
            launch(arguments)
    else:
        watch_run(name)
