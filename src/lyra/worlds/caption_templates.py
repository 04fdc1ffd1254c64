"""Shapes of sentences. A part in square brackets goes when its fact is not stated; a bare one must be stated.

``{there}`` is "there is" or "there are", ``{in}`` is "in" or, for a table top, "on".
"""

TRAIN_TEMPLATES = (
    "{place}[ with {things}][ {time}]",
    "{place}[ with {things}][, {time}]",
    "{place}[ {time}][ with {things}]",
    "{place}[, {time},][ with {things}]",
    "[{time}, ]{place}[ with {things}]",
    "[{time} ]{place}[ and {things}]",
    "{things} {in} {place}[ {time}]",
    "{things} {in} {place}[, {time}]",
    "{in} {place} {there} {things}[ {time}]",
    "{there} {things} {in} {place}[ {time}]",
    "[{time} ]{there} {things} {in} {place}",
    "{place}[. {things}][. {time}]",
    "{place}[: {things}][; {time}]",
    "{place}[, {things}][, {time}]",
    "[{time}: ]{place}[, {things}]",
    "{place} where {there} {things}[ {time}]",
    "{place}[, containing {things}][, {time}]",
    "{place}[ that has {things}][ {time}]",
    "{place}[ full of {things}][ {time}]",
    "{things}[ {time}]",
    "{things}[, {time}]",
    "[{time} ]{things}",
    "{time}",
)

HELD_OUT_TEMPLATES = (
    "view of {place}[ {time}][ showing {things}]",
    "[{time} ]{in} {place} one sees {things}",
    "{things} stand {in} {place}[ {time}]",
    "show me {place}[, {time}][, complete with {things}]",
    "{place} seen {time}[, and in it {things}]",
    "i would like {place}[ featuring {things}][, taken {time}]",
    "{things}, all of it {in} {place}[ {time}]",
    "it is {time} and {there} {things}",
)
"""Shapes that only tests use."""

PREFIXES = (
    "a photo of", "photo of", "a picture of", "an image of", "a beautiful", "a realistic render of", "a wide shot of",
    "please make", "create", "i want", "a detailed view of", "a nice", "a quiet", "a small", "a large", "a simple",
    "a high quality photo of", "a bright", "a lovely", "imagine", "generate", "a cinematic shot of", "a typical",
    "a peaceful", "a photorealistic image of", "a picture showing",
)  # fmt: skip
"""Beginnings that say nothing about the scene."""

SUFFIXES = (
    "4k", "high quality", "photorealistic", "hd", "professional photo", "sharp", "3d scene", "very detailed",
    "wide angle", "cinematic", "atmospheric",
)  # fmt: skip
"""Endings that say nothing about the scene."""
