"""What the words of a report mean."""

GLOSSARY = {
    "restart": "One random start of the network and the descent from it; seed and number are its address.",
    "condition": "One combination of settings; its restarts differ in their random start only.",
    "loss f": "Mean over the samples of ½‖error‖² (or the cross-entropy), penalties included, at the polished point.",
    "minimum": "A bottom whose exact Hessian has shown that every direction goes up, except those along which a "
    "symmetry of the network leaves the loss as it is.",
    "proved within": "Interval arithmetic has proved that a box of this radius holds exactly one critical point, a "
    "minimum that is no copy of another one in the table.",
    "degenerate": "A bottom with flat directions that no symmetry explains: second order does not decide.",
    "at infinity": "The loss still falls while the parameters grow without bound; “→” is what it falls to.",
    "saddle": "A point without slope, from which the loss falls in some direction.",
    "kink": "A ReLU unit is at its boundary, where the loss has no derivative.",
    "unfinished": "None of these could be shown, mostly because the budget of steps was too small.",
    "diverged": "The loss was not finite any more.",
    "orbit": "Minima that are one modulo the symmetries of the problem, too: where exchanging two inputs, say, leaves "
    "the samples with their targets as they are, it makes of a minimum another one of the same loss. Minima of one "
    "loss that no symmetry relates are two orbits.",
    "coverage": "Of the starts that end in a minimum, the share that leads to the minima found so far (Good and "
    "Turing's estimate, Esty's interval); the rest leads to minima nobody has seen. It says nothing of starts that "
    "end elsewhere, diverge or are unfinished: so it is written with the share of restarts that ended in a minimum, "
    "“98 % of 60 %”.",
    "at the best": "Share of the restarts that reached the lowest minimum of their condition.",
    "needed": "Restarts that it takes to reach that minimum with 95 % probability.",
    "[95 %]": "An interval that holds the true number in 95 % of such studies: of a median by order statistics, of a "
    "share by Wilson, of a difference of medians by the bootstrap (paired where both began from the same starts).",
    "index": "Of a saddle: in how many directions the loss falls from it. Those of index 1 join two minima.",
    "barrier": "How far the lowest saddle on the way out of a minimum lies above it.",
    "copies": "Points that the symmetries of the network make of one, itself among them.",
    "λ min, λ max": "The ends of the spectrum of the Hessian: how flat and how sharp a bottom is.",
}
