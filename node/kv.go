package node

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"posthaste/blob"
	"posthaste/blob/dirblob"
	"posthaste/config"
	"posthaste/kv"
	"posthaste/kv/pebblekv"
)

// openKV opens the store that the configuration names.
func openKV(_ context.Context, c *config.Config, log *slog.Logger, options Options) (kv.Store, error) {
	if options.KV != nil {
		return options.KV, nil
	}
	if c.Store.URL != "" {
		return nil, errors.New("store.url: databases are not offered yet: leave it out for the embedded store")
	}
	return pebblekv.Open(pebblekv.Config{Dir: filepath.Join(c.Data, "store"), CacheBytes: int64(c.Store.Cache), Log: log, Free: options.FreeSpace})
}

// openBlobs opens the store of large content that the configuration names.
func openBlobs(c *config.Config, options Options) (blob.Store, error) {
	if options.Blobs != nil {
		return options.Blobs, nil
	}
	return dirblob.Open(filepath.Join(c.Data, "blobs"))
}
