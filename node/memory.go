package node

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How memory is kept. A small heap would be collected again every few megabytes: with GOGC alone a
// busy node with nothing cached spends a tenth of its time on that. The ballast is never touched, so
// it takes no memory, but counts as live: garbage may reach half of ballast and heap together, 32 MiB
// at least. The lower GOGC keeps a large heap from doubling.
const (
	ballastBytes = 64 << 20
	gcPercent    = 50
)

// When memory is given back. A burst, were it one login with its 19 MiB of hashing, would otherwise
// stay with the process for minutes.
const (
	restEvery   = 400 * time.Millisecond
	restBytes   = 256 << 10 // allocated within restEvery at most: the node is at rest
	returnBytes = 8 << 20   // allocated since memory was last given back at least: it is worth it
)

// KeepMemory says when garbage is collected in this process, and gives memory back to the system
// whenever the process comes to rest, until ctx ends. An environment that sets GOGC rules instead of us.
func KeepMemory(ctx context.Context) error {
	if os.Getenv("GOGC") == "" {
		ballast := make([]byte, ballastBytes)
		defer runtime.KeepAlive(ballast)
		defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	}
	tick := time.NewTicker(restEvery)
	defer tick.Stop()
	var last, returned uint64
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := allocated()
		if atRest(now, last, returned) {
			debug.FreeOSMemory()
			returned = now
		}
		last = now
	}
}

// atRest decides by the bytes allocated by now, by the last look, and by when memory was last returned.
func atRest(now, last, returned uint64) bool {
	return now-last <= restBytes && now-returned >= returnBytes
}

// allocated returns the bytes allocated since the process began.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
