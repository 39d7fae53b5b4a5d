package mirror

import "time"

// SizesKept is how long it is remembered how large a mirror was.
const SizesKept = 400 * 24 * time.Hour

// SizeSample is how large a mirror was when its last sync of a day had ended.
type SizeSample struct {
	Day   time.Time // 0:00 UTC
	Bytes int64     // on disk
	Refs  int       // branches and tags
}
