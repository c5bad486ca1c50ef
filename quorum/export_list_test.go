package quorum

import "time"

// IsOld lets tests use the filter of MinAge.
func IsOld(i *Inspection, age time.Duration, now time.Time) bool { return i.old(age, now) }
