package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"strings"

	"posthaste/config"
	"posthaste/directory/source"
	"posthaste/directory/unix"
	"posthaste/helper"
)

// startHelper starts the process that runs programs and writes files of users, where the configuration
// asks for any. It must be called while we still have the rights that it needs.
func (n *Node) startHelper(c *config.Config) error {
	if n.options.InProcess || !needsHelper(c) {
		return nil
	}
	if os.Getuid() != 0 && len(c.Unix.Users) > 0 {
		n.log.Warn("not started as root: of unix.users only the one who runs this gets mail, that of others waits in the queue; start as root and name an ordinary user as user")
	}
	h, err := helper.Start(helperConfig(c, n.log))
	if err != nil {
		return fmt.Errorf("node: the helper process: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.helper = h
	return nil
}

func needsHelper(c *config.Config) bool {
	return len(c.Helper.Commands)+len(c.Helper.Paths)+len(c.Pipes)+len(c.Unix.Users) > 0
}

func helperConfig(c *config.Config, log *slog.Logger) helper.Config {
	h := helper.Config{
		Programs: append([]string(nil), c.Helper.Commands...),
		Files:    append([]string(nil), c.Helper.Paths...),
		Users:    append([]string{c.Helper.User}, c.Unix.Users...),
		MinUID:   c.Unix.MinUID, User: c.Helper.User,
		Limits: helper.Limits{Jobs: c.Helper.Jobs, Timeout: c.Helper.Timeout.D(), Output: int(c.Helper.Output)},
		Log:    log,
	}
	if c.User != "" {
		h.Users = append(h.Users, c.User)
	}
	for _, p := range c.Pipes {
		h.Programs = append(h.Programs, p.Command[0])
		if p.User != "" {
			h.Users = append(h.Users, p.User)
		}
	}
	if len(c.Unix.Users) > 0 {
		h.Files = append(h.Files, strings.ReplaceAll(c.Unix.Mailbox, "{user}", "*"))
		h.SpoolDirs = append(h.SpoolDirs, "/var/mail", "/var/spool/mail")
		if dir := path.Dir(path.Clean(c.Unix.Mailbox)); path.IsAbs(dir) && !strings.Contains(dir, "{user}") {
			h.SpoolDirs = append(h.SpoolDirs, dir)
		}
		h.Forwards = c.Unix.Forward
	}
	return h
}

// helping returns the helper; nil where none runs.
func (n *Node) helping() *helper.Helper {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.helper
}

// A runner hands jobs to the helper of a node.
type runner struct{ node *Node }

var errNoHelper = errors.New("node: no helper process runs: helper.commands, helper.paths, [[pipe]] and unix.users in the configuration are what it is started for, at the start of the node")

// Run does a job.
func (r runner) Run(ctx context.Context, job helper.Job) (helper.Result, error) {
	h := r.node.helping()
	if h == nil {
		return helper.Result{}, errNoHelper
	}
	return h.Run(ctx, job)
}

// forwards reads the .forward files of users by the helper of a node, to which their homes are open.
type forwards struct{ node *Node }

// ReadForward returns the file of a user. A command that runs without a node, and so without a helper,
// reads it with its own rights.
func (f forwards) ReadForward(ctx context.Context, u unix.User, path string) ([]byte, error) {
	h := f.node.helping()
	if h == nil {
		return unix.Direct{}.ReadForward(ctx, u, path)
	}
	text, err := h.Forward(ctx, u.Name)
	var unsafe *helper.UnsafeError
	if errors.As(err, &unsafe) {
		return nil, fmt.Errorf("it is %w: %s", source.ErrUnsafe, unsafe.Why)
	}
	return text, err
}
