// Package file delivers mail into mbox files and Maildir folders that a route names, as for an archive.
//
// Each recipient gets a copy of its own, with Return-Path and Delivered-To, so that the file tells for
// whom a message came. The helper process writes them, as the user it is configured with, and only
// where it lists the path (see package helper). To repeat a delivery into a Maildir does nothing; an
// mbox gets the message again.
package file

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"posthaste/explain"
	"posthaste/helper"
	"posthaste/mail"
)

// Limit is how many deliveries into one file are worth doing at the same time: they wait for its lock.
const Limit = 1

// An Agent delivers into files. It may be used at the same time.
type Agent struct {
	runner helper.Runner
	user   string
}

// New returns an Agent whose files are written by runner as user; "" is the helper's own choice.
func New(runner helper.Runner, user string) *Agent { return &Agent{runner, user} }

// Deliver adds content to the file at path once for each of rcpts, and returns an answer for each, in
// their order. A path that ends in a slash is a Maildir, any other an mbox; /dev/null discards.
func (a *Agent) Deliver(ctx context.Context, env mail.Envelope, rcpts []mail.Recipient, c mail.Content, path string) []*mail.Status {
	answers := make([]*mail.Status, len(rcpts))
	for i, r := range rcpts {
		answers[i] = a.deliver(ctx, &env, r.Address, c, path)
		explain.Note(ctx, "file", "%s goes into %s: %v", r.Address, path, answers[i])
	}
	return answers
}

func (a *Agent) deliver(ctx context.Context, env *mail.Envelope, to mail.Address, c mail.Content, path string) *mail.Status {
	job := helper.Job{User: a.user, File: path, Sender: env.From.String(), Received: env.Received}
	if env.ID != "" {
		job.ID = string(env.ID) + " " + to.String()
	}
	top := fmt.Sprintf("Return-Path: <%s>\r\nDelivered-To: %s\r\n", env.From, to)
	job.Content = io.MultiReader(bytes.NewReader([]byte(top)), bytes.NewReader(c.Bytes()))
	if _, err := a.runner.Run(ctx, job); err != nil {
		return mail.StatusOf(err)
	}
	return mail.NewStatus(250, "2.0.0", "delivered to a file")
}
