package filter

import (
	"context"
	"log/slog"
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
	var asking sync.WaitGroup
	for i := range engines[1:] {
		asking.Go(func() { ask(i + 1) })
	}
	ask(0)
	asking.Wait()
	return results
}
