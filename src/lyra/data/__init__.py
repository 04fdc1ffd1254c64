"""Scene records on disk: the store that synthesis fills and training reads, and the published data layout."""

from lyra.data.corrupt import CorruptRecordError
from lyra.data.latent_space import LatentSpace
from lyra.data.manifest import MANIFEST, Manifest
from lyra.data.published import PublishedFolder, read_published, write_published
from lyra.data.reading import RecordSource, open_records, readable_records
from lyra.data.record_codec import safe_name
from lyra.data.reverse import reverse_in_time, reverse_views
from lyra.data.store import SceneStore, begin_store, require_store_place, summarise
from lyra.data.watch import StoreWatch
from lyra.data.writer import RecordWriter, seal_when_left

__all__ = [
    "MANIFEST",
    "CorruptRecordError",
    "LatentSpace",
    "Manifest",
    "PublishedFolder",
    "RecordSource",
    "RecordWriter",
    "SceneStore",
    "StoreWatch",
    "begin_store",
    "open_records",
    "read_published",
    "readable_records",
    "require_store_place",
    "reverse_in_time",
    "reverse_views",
    "safe_name",
    "seal_when_left",
    "summarise",
    "write_published",
]
