"""Training: data sets, initialisers, optimizers, the loop, and what a run leaves behind."""
