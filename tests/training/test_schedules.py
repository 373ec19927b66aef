"""Learning rates of every step against PyTorch's schedulers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.recipe import Recipe, Sgd, kinds
from cnnspec.recipe.schedules import Constant, Cosine, Multistep, OneCycle, Plateau, Step
from cnnspec.training.schedules import make_schedule

LR, EPOCHS, BATCHES = 0.2, 12, 5
STEPS = EPOCHS * BATCHES


def rates(declared, epochs=EPOCHS, batches=BATCHES):
    recipe = Recipe(optimizer=Sgd(lr=LR), schedule=declared, epochs=epochs)
    schedule = make_schedule(recipe, batches)
    return [schedule.rate(step) for step in range(epochs * batches)]


def theirs(torch, make, each, lr=LR):
    """The rates of PyTorch's scheduler, which goes on after every `each` batches."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    found = []
    for step in range(1, STEPS + 1):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % each == 0 and step < STEPS:
            scheduler.step()
    return found


CASES = {
    "constant": (Constant(), lambda s, o: s.ConstantLR(o, factor=1.0), BATCHES),
    "step": (Step(every=3, factor=0.5), lambda s, o: s.StepLR(o, step_size=3, gamma=0.5), BATCHES),
    "multistep": (
        Multistep(at=(2, 3, 9), factor=0.3),
        lambda s, o: s.MultiStepLR(o, milestones=[2, 3, 9], gamma=0.3),
        BATCHES,
    ),
    "cosine": (Cosine(), lambda s, o: s.CosineAnnealingLR(o, T_max=STEPS), 1),
    "cosine, final": (
        Cosine(final=0.01),
        lambda s, o: s.CosineAnnealingLR(o, T_max=STEPS, eta_min=0.01),
        1,
    ),
    "one cycle": (OneCycle(peak=0.7), lambda s, o: s.OneCycleLR(o, max_lr=0.7, total_steps=STEPS), 1),
    "one cycle of the optimizer's rate, all options": (
        OneCycle(pct_start=0.4, div_factor=10, final_div_factor=100),
        lambda s, o: s.OneCycleLR(
            o, max_lr=LR, total_steps=STEPS, pct_start=0.4, div_factor=10, final_div_factor=100
        ),
        1,
    ),
    "warm-up": (
        Constant(warmup=2),
        lambda s, o: s.LinearLR(o, start_factor=0.1, total_iters=2 * BATCHES - 1),
        1,
    ),
    "warm-up, then a cosine": (
        Cosine(warmup=3),
        lambda s, o: s.SequentialLR(
            o,
            [
                s.LinearLR(o, start_factor=1 / 15, total_iters=14),
                s.CosineAnnealingLR(o, T_max=STEPS - 15),
            ],
            milestones=[15],
        ),
        1,
    ),
}


@pytest.mark.filterwarnings("ignore:.*scheduler.step:UserWarning", "ignore:.*epoch parameter:UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_rates_equal_pytorchs_in_every_step(torch, case: str):
    declared, make, each = CASES[case]
    np.testing.assert_allclose(rates(declared), theirs(torch, make, each), rtol=1e-6, atol=1e-12)


def test_warm_up_of_steps_multiplies_what_the_milestones_give():
    plain, warm = rates(Step(every=3, factor=0.5)), rates(Step(every=3, factor=0.5, warmup=2))
    factors = [min(1.0, (step + 1) / 10) for step in range(STEPS)]
    np.testing.assert_allclose(warm, np.multiply(plain, factors))


@pytest.mark.parametrize(("metric", "mode"), [(None, "min"), ("test_loss", "min"), ("test_accuracy", "max")])
@pytest.mark.parametrize(
    ("patience", "cooldown", "threshold", "min_lr"),
    [(0, 0, 1e-4, 0), (2, 0, 1e-4, 0), (1, 2, 0.1, 0), (1, 1, 0.01, 0.02), (3, 0, 0, 0)],
)
def test_plateau_equals_pytorchs_over_random_figures(
    torch, metric, mode, patience, cooldown, threshold, min_lr
):
    random = np.random.default_rng(patience + 10 * cooldown)
    options = {"factor": 0.5, "patience": patience, "cooldown": cooldown, "threshold": threshold}
    declared = Plateau(metric=metric, min_lr=min_lr, **options)
    schedule = make_schedule(Recipe(optimizer=Sgd(lr=LR), schedule=declared), BATCHES)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode=mode, min_lr=min_lr, eps=0, **options
    )
    sign = 1 if mode == "min" else -1
    changes = 0
    for epoch in range(60):
        value = float(2 + sign * (1 / (1 + epoch / 5) + 0.2 * random.standard_normal()))
        figures = {"train_loss": -1.0, "test_loss": 7.0, "test_accuracy": 7.0, metric or "test_loss": value}
        before = schedule.rate(epoch * BATCHES)
        schedule.epoch_ended(figures)
        scheduler.step(value)
        assert schedule.rate(epoch * BATCHES) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        changes += schedule.rate(0) != before
    assert changes > 1


def test_plateau_goes_on_from_its_state():
    recipe = Recipe(optimizer=Sgd(lr=LR), schedule=Plateau(patience=1, factor=0.5))
    whole, first = make_schedule(recipe, 1), make_schedule(recipe, 1)
    values = [1, 0.9, 0.95, 0.95, 0.95, 0.8, 0.81, 0.82, 0.83, 0.84]
    for value in values[:4]:
        whole.epoch_ended({"test_loss": value})
        first.epoch_ended({"test_loss": value})
    second = make_schedule(recipe, 1)
    second.load_state({name: array.copy() for name, array in first.state().items()})
    for value in values[4:]:
        whole.epoch_ended({"test_loss": value})
        second.epoch_ended({"test_loss": value})
        assert whole.rate(0) == second.rate(0)
    assert whole.rate(0) < LR
    with pytest.raises(ValueError, match="no state of the schedule"):
        make_schedule(Recipe(), 1).load_state(first.state())


def test_plateau_says_which_figure_it_misses():
    schedule = make_schedule(Recipe(schedule=Plateau(metric="test_r2")), 1)
    with pytest.raises(KeyError, match="test_r2"):
        schedule.epoch_ended({"test_loss": 1.0})


DECLARED = st.one_of(
    st.builds(Constant, warmup=st.floats(0, 5)),
    st.builds(Step, every=st.integers(1, 9), factor=st.floats(0.1, 1), warmup=st.floats(0, 5)),
    st.builds(Multistep, at=st.lists(st.floats(0.1, 9), min_size=1, max_size=4).map(tuple)),
    st.builds(Cosine, warmup=st.floats(0, 20), final=st.floats(0, 0.1)),
    st.builds(OneCycle, pct_start=st.floats(0.01, 0.99)),
    st.builds(Plateau, warmup=st.floats(0, 5)),
)


@settings(max_examples=150, deadline=None)
@given(declared=DECLARED, epochs=st.integers(1, 8), batches=st.integers(1, 9))
def test_rates_are_numbers_between_0_and_the_highest(declared, epochs: int, batches: int):
    found = rates(declared, epochs, batches)
    assert all(math.isfinite(rate) and 0 <= rate <= LR * (1 + 1e-9) for rate in found)
    schedule = make_schedule(Recipe(optimizer=Sgd(lr=LR), schedule=declared, epochs=epochs), batches)
    assert math.isfinite(schedule.rate(10 * epochs * batches))


def test_every_schedule_of_the_language_is_tried_here():
    tried = {type(case[0]) for case in CASES.values()} | {Plateau}
    assert tried == set(kinds("schedule").values())
