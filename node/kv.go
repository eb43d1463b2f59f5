package node

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"posthaste/blob"
	"posthaste/blob/dirblob"
	"posthaste/config"
	"posthaste/kv/pebblekv"
	"posthaste/kv/pgkv"
)

// sharedLease is how long the nodes of one store wait before they take over the queue of one that died.
const sharedLease = 15 * time.Second

// openKV opens the store that the configuration names, and finds out which of its nodes this is.
func (n *Node) openKV(ctx context.Context, c *config.Config) error {
	n.number = soleNode
	if n.options.KV != nil {
		n.kv = n.options.KV
		return nil
	}
	if c.Store.URL != "" {
		return n.openShared(ctx, c)
	}
	embedded, err := pebblekv.Open(pebblekv.Config{Dir: filepath.Join(c.Data, "store"), CacheBytes: int64(c.Store.Cache), Log: n.log, Free: n.options.FreeSpace})
	if err == nil {
		n.kv = embedded
	}
	return err
}

// openShared opens a store that other nodes may use at the same time.
func (n *Node) openShared(ctx context.Context, c *config.Config) error {
	shared, err := pgkv.Open(ctx, pgkv.Config{URL: c.Store.URL, Log: n.log})
	if err != nil {
		return fmt.Errorf("store.url: %w", err)
	}
	n.kv, n.lease = shared, sharedLease
	if n.number, err = keptNumber(ctx, filepath.Join(c.Data, numberName), shared); err != nil {
		return err
	}
	n.log.Warn("the store is a database, but messages above 64 KiB lie in the data directory: other nodes cannot read them", "node", n.number)
	return nil
}

// openBlobs opens the store of large content that the configuration names.
func openBlobs(c *config.Config, options Options) (blob.Store, error) {
	if options.Blobs != nil {
		return options.Blobs, nil
	}
	return dirblob.Open(filepath.Join(c.Data, "blobs"))
}
