package node

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How memory is kept. A small heap would be collected again every few megabytes: by GOGC alone a busy
// node with nothing cached spends a tenth of its time on that. So garbage may reach slackBytes and half
// of what lives: a small heap is left alone for longer, and a large one does not double.
const (
	slackBytes   = 32 << 20
	largePercent = 50
	mostPercent  = 1000
)

// When memory is given back. A burst, were it one login with its 19 MiB of hashing, would otherwise
// stay with the process for minutes.
const (
	lookEvery   = 400 * time.Millisecond
	restBytes   = 256 << 10 // allocated within lookEvery at most: the node is at rest
	returnBytes = 8 << 20   // allocated since memory was last given back at least: it is worth it
)

// KeepMemory says when garbage is collected in this process, and gives memory back to the system
// whenever the process comes to rest, until ctx ends. An environment that sets GOGC rules instead of us.
func KeepMemory(ctx context.Context) error {
	ours := os.Getenv("GOGC") == ""
	if ours {
		defer debug.SetGCPercent(debug.SetGCPercent(percentFor(0)))
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last, returned, lived uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, live := heap()
		if ours && live != lived {
			debug.SetGCPercent(percentFor(live))
			lived = live
		}
		if atRest(now, last, returned) {
			debug.FreeOSMemory()
			returned = now
		}
		last = now
	}
}

// percentFor returns the GOGC for a heap of which so many bytes live.
func percentFor(live uint64) int {
	return int(min(largePercent+slackBytes*100/max(live, 1), mostPercent))
}

// atRest decides by the bytes allocated by now, by the last look, and by when memory was last returned.
func atRest(now, last, returned uint64) bool {
	return now-last <= restBytes && now-returned >= returnBytes
}

// heap returns the bytes allocated since the process began, and those that lived when garbage was last
// collected.
func heap() (allocated, live uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}
