package node

import (
	"context"
	"os"

	"posthaste/config"
	"posthaste/drop"
	"posthaste/mail"
	"posthaste/submit"
)

// prepareDrop makes the directory through which users of the system submit mail. It must be called while
// we still have the rights that it needs.
func prepareDrop(c *config.Config) error {
	if !c.Drop.Enabled {
		return nil
	}
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 && c.User != "" {
		var err error
		if uid, gid, err = lookupUser(c.User); err != nil {
			return err
		}
	}
	return drop.Prepare(c.Drop.Directory, uid, gid)
}

// picker returns what takes mail out of that directory.
func (n *Node) picker(c *config.Config) *drop.Picker {
	return drop.NewPicker(drop.Config{Dir: c.Drop.Directory, Domain: c.LocalDomain(), Trusted: c.Unix.Trusted,
		MaxSize: int64(c.SMTP.MaxSize), Submit: dropped{n}, Log: n.log})
}

// dropped submits mail of the system's users by the plan in force.
type dropped struct{ node *Node }

// Submit grooms and queues a message.
func (d dropped) Submit(ctx context.Context, user mail.Address, origin string, env mail.Envelope, content mail.Content) error {
	p := d.node.present()
	defer p.release()
	return submit.Local{Submitter: p.submit, Queue: d.node.queue}.Submit(ctx, user, origin, env, content)
}

// Return tells the user why a message is refused.
func (d dropped) Return(ctx context.Context, user mail.Address, origin string, why *mail.Status, env mail.Envelope, content mail.Content) error {
	p := d.node.present()
	defer p.release()
	return submit.Local{Submitter: p.submit, Queue: d.node.queue}.Return(ctx, user, origin, why, env, content)
}
