package filter

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
)

// Ask asks engines at the same time and returns their results in order. One that fails is as if it were
// silent; each bounds itself, see [Guard].
func Ask(ctx context.Context, engines []Engine, m *Mail, log *slog.Logger) []Result {
	if len(engines) == 0 {
		return nil
	}
	results := make([]Result, len(engines))
	ask := func(i int) {
		var err error
		if results[i], err = engines[i].Scan(ctx, m); err != nil {
			log.Warn("filter: an engine gave no answer", "engine", engines[i].Name(), "qid", string(m.Envelope.ID), "err", err)
			results[i] = Silence(engines[i].Name(), err)
		}
	}
	Each(len(engines), ask)
	return results
}

// Each calls do with the numbers below n at the same time, and returns when all calls have. A panic in one
// of them is a panic of the caller, whose session ends; it must not end the process, whatever a stranger
// made of his message.
func Each(n int, do func(i int)) {
	panics := make([]any, n)
	careful := func(i int) {
		defer func() {
			if p := recover(); p != nil {
				panics[i] = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		do(i)
	}
	var running sync.WaitGroup
	for i := 1; i < n; i++ {
		running.Go(func() { careful(i) })
	}
	if n > 0 {
		careful(0)
	}
	running.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
}
