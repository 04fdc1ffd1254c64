"""Files to values and back: photos, videos, depth, camera paths, PLY, scene folders."""
