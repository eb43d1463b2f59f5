package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"posthaste/admin"
	"posthaste/config"
	"posthaste/node"
)

// An env is what a command works with.
type env struct {
	ctx        context.Context
	configFile string
	out        *printer
	err        io.Writer
	in         *os.File
}

func (e *env) loadConfig() (*config.Config, error) { return config.Load(config.Find(e.configFile)) }

// withAdmin runs do with a client of the running node, or else with one of a node that is opened in
// this process just for that.
func (e *env) withAdmin(do func(*admin.Client) error) error {
	cfg, err := e.loadConfig()
	if err != nil {
		return err
	}
	client, err := admin.Dial(e.ctx, cfg.Data)
	if err == nil {
		return do(client)
	}
	if !errors.Is(err, admin.ErrNotRunning) {
		return err
	}
	n, err := node.Open(e.ctx, cfg, slog.New(slog.NewTextHandler(e.err, &slog.HandlerOptions{Level: slog.LevelWarn})), node.Options{})
	if err != nil {
		return err
	}
	err = do(admin.Local(n.Admin()))
	err = errors.Join(err, n.Close())
	return errors.Join(err, giveBack(cfg.Data))
}

// giveBack gives files that root made in data to the owner of data, so that the node, which runs as
// another user, can go on with them.
func giveBack(data string) error {
	info, err := os.Stat(data)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Getuid() != 0 || owner.Uid == 0 {
		return nil
	}
	return filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && !d.IsDir() && st.Nlink > 1 {
			return nil // none that we made: its owner may have put it here to be given it
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}
