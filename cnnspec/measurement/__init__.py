"""How fast a network is, beside the machine's own limit and beside other systems, in one interleaved run.

Nothing here prints. What is measured are steps: of training, with forward, loss, backward and the update of
plain gradient descent, or of prediction. Random images come from a pool of a few thousand.
"""
