package node

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"posthaste/config"
	"posthaste/kv"
	"posthaste/kv/pebblekv"
)

// openKV opens the store that the configuration names.
func openKV(_ context.Context, c *config.Config, log *slog.Logger, options Options) (kv.Store, error) {
	if c.Store.URL != "" {
		return nil, errors.New("store.url: databases are not offered yet: leave it out for the embedded store")
	}
	return pebblekv.Open(pebblekv.Config{Dir: filepath.Join(c.Data, "store"), CacheBytes: int64(c.Store.Cache), Log: log, Free: options.FreeSpace})
}
