package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"posthaste/config"
)

// Check tells whether a node would start with cfg, as far as that can be found out beside one that
// runs: it builds all that goes by the configuration, on an empty store of its own, and asks every table.
// file is named in errors. Listeners are not opened, and the data directory is not looked at.
func Check(ctx context.Context, cfg *config.Config, file string, log *slog.Logger) (err error) {
	scratch, err := os.MkdirTemp("", "posthaste-check-")
	if err != nil {
		return fmt.Errorf("node: no place to try the configuration out: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	tried := *cfg
	tried.Data, tried.Store = scratch, config.Store{Cache: cfg.Store.Cache}
	n, err := Open(ctx, &tried, log, Options{File: file, InProcess: true})
	if err != nil {
		return err
	}
	p := n.present()
	err = p.tables.Check(ctx)
	p.release()
	return errors.Join(err, n.Close())
}
