package sim

import (
	"strconv"
	"time"
)

const noFence = "no fencing token is stored, but something else"

// fenceOf is fenceOf of fence.lua.
func fenceOf(text string) (fence int64, bad *string) {
	fence, err := strconv.ParseInt(text, 10, 64)
	if err != nil || fence < 0 || fence > 1<<53-1 || len(text) > 16 {
		text := noFence
		return 0, &text
	}
	return fence, nil
}

// storedFence returns the fence stored under key, or 0.
func (m *model) storedFence(now time.Duration, key string) int64 {
	text, there := m.get(now, key)
	if !there {
		return 0
	}
	fence, _ := fenceOf(text)
	return fence
}

// storeFence is storeFence of fence.lua. bad is its error.
func (b *scriptCall) storeFence(key string, fence int64, retention time.Duration) (stored int64, isNew bool, bad *string) {
	defer catch(&bad)
	m := b.model
	text, there := m.get(b.now, key)
	if !there {
		text = "0"
	}
	stored, bad = fenceOf(text)
	if bad == nil && stored < fence {
		m.keys[key] = entry{value: strconv.FormatInt(fence, 10), expires: b.now + retention}
		return fence, true, nil
	}
	m.keys[key] = entry{value: text, expires: b.now + retention}
	return stored, false, bad
}

// propose is propose of fence.lua. bad is its error.
func (b *scriptCall) propose(key string, fence int64, retention, guard time.Duration) (stored int64, isNew bool, bad *string) {
	defer catch(&bad)
	m, now := b.model, b.model.time(b.now)
	tolerance := time.Minute.Microseconds()
	if guard > 0 {
		tolerance = min(tolerance, guard.Microseconds()/4)
	}
	if max(fence-now, now-fence) <= tolerance {
		return b.storeFence(key, fence, retention)
	}
	text, there := m.get(b.now, key)
	if !there {
		return 0, false, nil
	}
	if stored, bad = fenceOf(text); bad == nil {
		m.keys[key] = entry{value: text, expires: b.now + retention}
	}
	return stored, false, bad
}
