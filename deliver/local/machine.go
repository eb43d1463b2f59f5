package local

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"posthaste/directory"
	"posthaste/helper"
	"posthaste/mail"
)

// hand gives the message to the helper, for a program, a file or the mailbox of a Unix user.
func (d *delivery) hand(ctx context.Context, t *target) *mail.Status {
	runner := d.agent.runner
	if runner == nil {
		return mail.NewStatus(550, "5.7.1", "%s leads to a program or file, and this server runs and writes none", t.address)
	}
	if d.message.Waiting && t.place.Kind == directory.KindProgram {
		return mail.NewStatus(451, "4.3.0", "%s waits in the queue for its program", t.address)
	}
	once := d.several && d.agent.ledger != nil
	if once && !d.message.Fresh {
		done, err := d.agent.ledger.Done(ctx, d.message.Envelope.ID, t.key())
		if err != nil {
			return d.failed(t, err)
		}
		if done {
			t.repeated = true
			return mail.NewStatus(250, "2.0.0", "delivered before")
		}
	}
	status := d.job(ctx, runner, t)
	if status.OK() && once {
		if err := d.agent.ledger.Note(ctx, d.message.Envelope.ID, t.key()); err != nil {
			d.agent.log.Warn("local: cannot remember a delivery; a repeat would do it again", "qid", d.message.Envelope.ID, "to", t.address, "err", err)
		}
	}
	return status
}

// job has runner serve t.
func (d *delivery) job(ctx context.Context, runner helper.Runner, t *target) *mail.Status {
	env := &d.message.Envelope
	from := t.from(env.From)
	job := helper.Job{
		User: t.place.User, Received: env.Received, Fresh: d.message.Fresh, Sender: from.String(),
		Content: io.MultiReader(bytes.NewReader(d.prefix(t)), bytes.NewReader(d.message.Content.Bytes())),
	}
	if env.ID != "" {
		job.ID = string(env.ID) + " " + t.key()
	}
	if t.place.Kind != directory.KindProgram {
		job.File = t.place.Text
		if _, err := runner.Run(ctx, job); err != nil {
			return d.failed(t, err)
		}
		return mail.NewStatus(250, "2.0.0", fmt.Sprintf("delivered to %s", t.place))
	}
	job.Program = helper.Split(t.place.Text)
	job.Env = helper.Environment(from, t.address, d.agent.separator)
	result, err := runner.Run(ctx, job)
	if err != nil {
		return d.failed(t, err)
	}
	status := result.Status()
	if status.OK() {
		status.Text = fmt.Sprintf("delivered to %s", t.place)
	}
	return status
}
