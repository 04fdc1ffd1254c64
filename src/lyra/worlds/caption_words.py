"""The words of captions: what a canonical fact may be called.

A table maps each canonical word to its names; the first name is the plain one. Everything a caption can say stands in
these tables and in the templates, so that the text encoder's vocabulary is known before it is trained.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """Names of one kind of object.

    Attributes:
        names: (singular, plural) pairs, the plain one first; a mass has the same word twice.
        mass: not counted, no article.
        takes_material: whether captions call it wooden, metal and so on.
        takes_colour: whether captions give its colour.
    """

    names: tuple[tuple[str, str], ...]
    mass: bool = False
    takes_material: bool = False
    takes_colour: bool = True


def _noun(text: str, mass: bool = False, material: bool = False, colour: bool = True) -> Noun:
    """From "table/tables desk/desks" with "_" for a space."""
    pairs = [tuple(name.replace("_", " ").split("/")) for name in text.split()]
    return Noun(tuple((one, many) for one, many in pairs), mass, material, colour)


NOUNS: dict[str, Noun] = {
    "table": _noun("table/tables desk/desks dining_table/dining_tables", material=True),
    "chair": _noun("chair/chairs seat/seats wooden_chair/wooden_chairs"),
    "sofa": _noun("sofa/sofas couch/couches settee/settees"),
    "bed": _noun("bed/beds double_bed/double_beds"),
    "wardrobe": _noun("wardrobe/wardrobes closet/closets armoire/armoires", material=True),
    "cabinet": _noun("cabinet/cabinets cupboard/cupboards sideboard/sideboards dresser/dressers", material=True),
    "bookshelf": _noun("bookshelf/bookshelves bookcase/bookcases shelf/shelves"),
    "lamp": _noun("lamp/lamps floor_lamp/floor_lamps standing_lamp/standing_lamps", colour=False),
    "picture": _noun("picture/pictures painting/paintings framed_picture/framed_pictures", colour=False),
    "vase": _noun("vase/vases jug/jugs flower_vase/flower_vases"),
    "plant": _noun("potted_plant/potted_plants plant/plants house_plant/house_plants", colour=False),
    "rug": _noun("rug/rugs carpet/carpets"),
    "door": _noun("door/doors doorway/doorways"),
    "window": _noun("window/windows", colour=False),
    "house": _noun("house/houses building/buildings facade/facades", material=True),
    "tree": _noun("tree/trees leafy_tree/leafy_trees"),
    "lamp_post": _noun("street_lamp/street_lamps lamp_post/lamp_posts lantern/lanterns", colour=False),
    "car": _noun("car/cars parked_car/parked_cars automobile/automobiles vehicle/vehicles"),
    "bench": _noun("bench/benches park_bench/park_benches", material=True),
    "poster": _noun("poster/posters placard/placards billboard/billboards", colour=False),
    "fountain": _noun("fountain/fountains stone_fountain/stone_fountains", colour=False),
    "bush": _noun("bush/bushes shrub/shrubs hedge/hedges"),
    "barrel": _noun("barrel/barrels cask/casks keg/kegs"),
    "crate": _noun("crate/crates wooden_crate/wooden_crates"),
    "arcade": _noun("arcade/arcades archway/arches colonnade/columns arch/pillars", material=True, colour=False),
    "mural": _noun("mural/murals wall_painting/wall_paintings", colour=False),
    "ivy": _noun("ivy/ivy climbing_ivy/climbing_ivy creeper/creeper", mass=True, colour=False),
    "pond": _noun("pond/ponds pool/pools", colour=False),
    "path": _noun("path/paths trail/trails track/tracks footpath/footpaths", colour=False),
    "cottage": _noun("cottage/cottages hut/huts cabin/cabins farmhouse/farmhouses", material=True),
    "conifer": _noun("conifer/conifers fir/firs pine/pines spruce/spruces fir_tree/fir_trees pine_tree/pine_trees"),
    "rock": _noun("rock/rocks boulder/boulders stone/stones"),
    "fence": _noun("fence/fences wooden_fence/wooden_fences railing/railings", colour=False),
    "mountain": _noun("mountain/mountains peak/peaks mountain_range/mountain_ranges ridge/ridges", colour=False),
    "book": _noun("book/books"),
    "mug": _noun("mug/mugs cup/cups coffee_cup/coffee_cups"),
    "fruit": _noun("fruit/fruit fruits/fruits", mass=True),
    "bottle": _noun("bottle/bottles glass_bottle/glass_bottles"),
    "box": _noun("box/boxes cube/cubes carton/cartons"),
    "bowl": _noun("bowl/bowls dish/dishes"),
    "cloth": _noun("cloth/cloths tablecloth/tablecloths napkin/napkins"),
    "frame": _noun("picture_frame/picture_frames photo_frame/photo_frames framed_photo/framed_photos", colour=False),
    "ball": _noun("ball/balls sphere/spheres"),
    "person": _noun("person/people man/men woman/women pedestrian/pedestrians", colour=False),
    "dog": _noun("dog/dogs puppy/puppies"),
    "cat": _noun("cat/cats kitten/kittens"),
    "horse": _noun("horse/horses pony/ponies"),
    "cow": _noun("cow/cows cattle/cattle"),
    "sheep": _noun("sheep/sheep lamb/lambs"),
    "bird": _noun("bird/birds"),
    "boat": _noun("boat/boats rowing_boat/rowing_boats"),
    "jetty": _noun("jetty/jetties landing_stage/landing_stages", colour=False),
    "stream": _noun("stream/streams brook/brooks creek/creeks", colour=False),
    "log": _noun("log/logs fallen_trunk/fallen_trunks", colour=False),
    "tower": _noun("tower/towers pagoda/pagodas spire/spires"),
    "awning": _noun("awning/awnings sunshade/sunshades"),
    "plate": _noun("plate_of_food/plates_of_food plate/plates meal/meals"),
    "flower": _noun("flower/flowers blossom/blossoms", colour=False),
    "camera": _noun("camera/cameras", colour=False),
    "mushroom": _noun("mushroom/mushrooms toadstool/toadstools"),
}

TIMES: dict[str, tuple[str, ...]] = {
    "night": (
        "at night", "by night", "in the night", "after dark", "in the dark", "at midnight", "under the night sky",
        "in moonlight",
    ),
    "sunrise": ("at sunrise", "at dawn", "at daybreak", "at first light", "as the sun rises"),
    "morning": ("in the morning", "in the morning light", "this morning", "before noon"),
    "day": (
        "by day", "at noon", "in the afternoon", "on a clear day", "on a sunny day", "in bright sunlight",
        "in daylight", "at midday", "under a blue sky", "in the sunshine", "in the midday sun",
    ),
    "evening": ("in the evening", "in the evening light", "late in the day", "this evening"),
    "sunset": ("at sunset", "at dusk", "at sundown", "in the setting sun", "at golden hour", "in twilight"),
    "cloudy": (
        "under a cloudy sky", "on a cloudy day", "on an overcast day", "on a grey day", "under grey clouds",
        "in dull weather", "under an overcast sky",
    ),
}  # fmt: skip

TIME_TAGS: dict[str, tuple[str, ...]] = {
    "night": ("night", "nighttime", "midnight", "dark"),
    "sunrise": ("sunrise", "dawn", "daybreak"),
    "morning": ("morning", "morning light"),
    "day": ("day", "daylight", "sunny", "noon", "midday", "sunshine", "afternoon"),
    "evening": ("evening", "evening light"),
    "sunset": ("sunset", "dusk", "golden hour", "twilight", "sundown"),
    "cloudy": ("cloudy", "overcast", "grey sky", "clouds"),
}

SKY_WORDS: dict[str, str] = {
    "at night": "night",
    "at sunrise": "sunrise",
    "at dawn": "sunrise",
    "in the morning": "morning",
    "at noon": "day",
    "in the afternoon": "day",
    "on a clear day": "day",
    "on a sunny day": "day",
    "in the forest light": "day",
    "in the evening": "evening",
    "at sunset": "sunset",
    "under a cloudy sky": "cloudy",
}
"""From the words of the texture pack to the canonical time of day."""

MATERIALS: dict[str, tuple[str, ...]] = {
    "wood": ("wooden", "wood", "timber", "oak"),
    "brick": ("brick", "red brick", "bricked"),
    "stone": ("stone", "rough stone", "rocky"),
    "marble": ("marble", "polished marble"),
    "plaster": ("plastered", "plaster", "painted", "stucco", "plain"),
    "tile": ("tiled", "tile", "ceramic"),
    "fabric": ("fabric", "woven", "carpeted", "cloth covered"),
    "metal": ("metal", "steel", "metallic", "iron"),
    "paving": ("paved", "cobbled", "cobblestone", "flagstone"),
    "asphalt": ("asphalt", "tarmac", "asphalted"),
    "grass": ("grassy", "grass"),
    "earth": ("bare", "earthen", "dirt", "earth"),
    "leaves": ("leafy", "leaf covered", "mossy"),
    "sand": ("sandy", "sand"),
    "snow": ("snowy", "snow covered", "snow"),
}

CATEGORY_MATERIAL: dict[str, str] = {
    "wood": "wood", "bark": "wood", "door": "wood", "brick": "brick", "stone": "stone", "rock": "stone",
    "cliff": "stone", "marble": "marble", "wall": "plaster", "plaster": "plaster", "facade": "plaster",
    "tile": "tile", "fabric": "fabric", "metal": "metal", "paving": "paving", "road": "asphalt", "grass": "grass",
    "vegetation": "grass", "foliage": "leaves", "forest": "leaves", "terrain": "earth", "ground": "earth",
    "sand": "sand", "snow": "snow",
}  # fmt: skip
"""Material of a texture's category; categories without a plain material are left out."""

COLOUR_NAMES: dict[str, tuple[str, ...]] = {
    "white": ("white", "whitewashed"),
    "grey": ("grey", "gray"),
    "black": ("black", "jet black"),
    "red": ("red", "crimson"),
    "orange": ("orange",),
    "brown": ("brown",),
    "beige": ("beige", "cream", "tan"),
    "yellow": ("yellow", "ochre"),
    "green": ("green",),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
}

KIND_NAMES: dict[str, tuple[str, ...]] = {
    "room": ("room", "interior", "living room", "indoor room", "chamber", "lounge", "hall", "parlour"),
    "street": ("street", "road", "alley", "lane", "street scene"),
    "courtyard": ("courtyard", "yard", "patio", "court", "inner courtyard", "walled garden"),
    "landscape": ("landscape", "countryside", "scenery", "open country", "nature scene"),
    "tabletop": ("table top", "tabletop", "table", "desk", "table surface", "tabletop scene", "still life"),
    "closeup": ("closeup", "close view", "macro shot", "near view", "detail"),
    "city": ("city", "town", "cityscape", "city square", "urban scene", "town centre"),
}

BEDROOM = "bedroom"
"""A room of which a bed is stated."""

STYLE_NAMES: dict[str, tuple[str, ...]] = {
    "meadow": ("green meadow", "meadow", "grassland", "green hills", "grassy field", "green field", "pasture"),
    "forest": ("clearing at the edge of a forest", "forest clearing", "woodland", "forest", "wood clearing"),
    "stony": ("stony ground", "barren land", "rocky wasteland", "stony landscape"),
    "desert": ("sandy desert", "desert", "desert landscape", "sand dunes"),
    "snow": ("snowy country", "snowy landscape", "winter landscape", "snow field"),
    "lake": ("lake", "lakeside", "lake shore", "shore", "waterside", "river bank"),
    "mountain": ("mountain slope", "mountain landscape", "alpine meadow", "high country", "mountainside"),
    "park": ("park", "lawn", "garden", "public garden", "park lawn"),
}
"""Heads of a landscape's place; they say landscape too."""

STYLE_ADJECTIVES: dict[str, tuple[str, ...]] = {
    "old_town": ("narrow", "old", "old town", "historic", "medieval", "village"),
    "modern": ("modern", "residential", "urban"),
    "above": ("distant", "sprawling", "wide", "modern"),
}

PART_NAMES: dict[str, tuple[str, ...]] = {
    "wall": ("walls", "walls", "wall"),
    "floor": ("floor", "floor", "flooring"),
    "ground": ("ground", "ground", "pavement"),
    "top": ("top", "surface"),
}

FILLERS = (
    "photo", "photograph", "image", "view", "scene", "shot", "render", "rendering", "realistic",
    "photorealistic", "beautiful", "nice", "lovely", "quiet", "tidy", "bright", "cosy", "cozy", "peaceful", "detailed",
    "high", "quality", "sharp", "wide", "angle", "professional", "4k", "hd", "3d", "cinematic", "atmospheric", "calm",
    "empty", "large", "small", "big", "little", "pretty", "typical", "simple", "charming", "rustic", "please", "show",
    "me", "create", "make", "generate", "imagine", "want", "would", "like", "see", "seen", "showing", "featuring",
    "complete", "containing", "taken", "visible", "stand", "standing", "stands", "sees", "somewhere", "i",
    "sitting", "lying", "placed", "hanging", "growing", "surrounded", "covered", "filled", "facing", "leaning", "pale",
    "deep", "elegant", "abandoned", "cluttered", "spacious", "warm", "cold", "soft", "natural", "everyday", "ordinary",
    "real", "life", "style", "setting", "place", "background", "foreground", "corner", "middle", "centre", "center",
    "left", "right", "side", "distance", "far", "close", "up", "down", "inside", "outside", "indoors", "outdoors",
)  # fmt: skip
"""Words that people use around a scene and that say nothing about it."""

ARTICLES = ("a", "an", "the")
NEGATIONS = ("no", "without")
FUNCTION_WORDS = (
    "of", "in", "on", "at", "with", "and", "to", "by", "from", "for", "is", "are", "there", "it", "its", "that",
    "which", "where", "under", "over", "near", "next", "beside", "behind", "between", "through", "all", "has", "have",
    "also", "around", "above", "below", "along", "across", "against", "into", "onto", "off", "as", "very", "my",
    "your", "this", "these", "front", "full",
)  # fmt: skip

DISTRACTORS = (
    "child", "ship", "castle", "bridge", "train",
    "aeroplane", "dinosaur", "robot", "dragon", "elephant", "piano", "guitar", "computer", "phone",
    "television", "bicycle", "bus", "truck", "tractor", "rocket", "waterfall", "volcano", "island", "beach", "rainbow",
    "moon", "star", "church", "statue", "market", "kitchen", "mirror", "candle", "clock", "keyboard", "pizza",
    "cake", "bread", "fish", "butterfly", "lion", "wolf", "knight", "wizard", "pirate", "balloon", "kite", "umbrella",
    "hat", "shoe", "jacket", "flag", "sword", "newspaper", "letter", "stairs", "ladder", "tent", "windmill",
    "lighthouse", "harbour", "airport", "stadium", "swimmer", "dancer", "king", "teacher", "doctor",
)  # fmt: skip
"""Things that no world shows. Training mixes them in, so that the encoder learns to pass over what it cannot know."""

HELD_OUT_DISTRACTORS = (
    "unicorn", "whale", "helicopter", "pyramid", "mermaid", "violin", "submarine", "astronaut", "kangaroo",
    "skyscraper", "motorcycle", "penguin", "snowman", "telescope", "carousel", "parrot", "spaceship", "baker", "otter",
)  # fmt: skip
"""The same, kept for tests."""

COUNT_WORDS: dict[int, tuple[str, ...]] = {
    1: ("a", "a", "a", "one", "a single"),
    2: ("two", "two", "a pair of", "2", "a couple of"),
    3: ("three", "three", "3", "several", "some", "a few"),
    4: ("several", "some", "many", "a few", "four", "4", "five", "various", "lots of", "plenty of", ""),
}
"""By count; the last one stands for four and more. The empty word is the bare plural."""
