// Package pipe delivers mail to programs that the configuration names, as Postfix's pipe does: to
// mailing list managers, archives, other mail systems.
//
// A [Config] is a command whose words may hold ${…}; they are filled in per delivery and passed to the
// program as they are, without a shell. The helper process runs it (see package helper): it must list
// the program. The program's exit status says what became of the message (helper.Result.Status).
package pipe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"posthaste/explain"
	"posthaste/helper"
	"posthaste/mail"
)

// Config is one pipe.
type Config struct {
	Name string // routes name it: pipe:NAME

	// Command is the program, an absolute path, and its arguments. In the arguments stand for
	// values: ${sender} ${recipient} (the address), ${user} (local-part without extension),
	// ${extension}, ${mailbox} (the whole local-part), ${domain}, ${size}, ${queue_id}, ${nexthop}
	// (Name), ${client_address} ${client_helo} ${client_hostname} ${client_protocol}
	// ${sasl_username} ${original_recipient}; $$ is a dollar. A word with one that differs between
	// recipients is there once for each of them.
	Command []string

	User  string // the Unix user to run it as; "" is the helper's choice
	Flags string // letters of Postfix's pipe(8), see flags.go: BDFORXhuq.>

	MaxSize    int64         // bytes of a message; larger is refused; 0: no bound
	Recipients int           // at most in one run; default 1
	NullSender string        // what ${sender} is for the null reverse-path; default MAILER-DAEMON
	Separator  byte          // between user and extension; 0: none
	Timeout    time.Duration // default: the helper's
	Limit      int           // runs at the same time; default 5
	CRLF       bool          // pass lines as they came, ending in CRLF; default: LF
}

// An Agent delivers to pipes. It may be used at the same time.
type Agent struct {
	runner helper.Runner
	pipes  map[string]*pipe
}

// New returns an Agent for pipes that runner runs. The error says which pipe is wrong, and why.
func New(runner helper.Runner, pipes []Config) (*Agent, error) {
	a := &Agent{runner: runner, pipes: map[string]*pipe{}}
	for _, cfg := range pipes {
		if a.pipes[cfg.Name] != nil {
			return nil, fmt.Errorf("pipe %q is there twice", cfg.Name)
		}
		p, err := newPipe(cfg)
		if err != nil {
			return nil, fmt.Errorf("pipe %q: %w", cfg.Name, err)
		}
		a.pipes[cfg.Name] = p
	}
	return a, nil
}

// Limit returns how many deliveries to a pipe may run at the same time, and whether there is one of
// that name.
func (a *Agent) Limit(name string) (limit int, ok bool) {
	p := a.pipes[name]
	if p == nil {
		return 0, false
	}
	return p.Limit, true
}

// Deliver gives content to the pipe called name for each of rcpts, and returns an answer for each, in
// their order.
func (a *Agent) Deliver(ctx context.Context, env mail.Envelope, rcpts []mail.Recipient, c mail.Content, name string) []*mail.Status {
	answers := make([]*mail.Status, len(rcpts))
	p := a.pipes[name]
	if p == nil {
		for i := range answers {
			answers[i] = mail.NewStatus(451, "4.3.5", "the configuration names no pipe %q", name)
		}
		return answers
	}
	for from := 0; from < len(rcpts); from += p.Recipients {
		to := min(from+p.Recipients, len(rcpts))
		status := a.run(ctx, p, &env, rcpts[from:to], c.Bytes())
		for i := from; i < to; i++ {
			answers[i] = status
			explain.Note(ctx, "pipe", "%s goes to pipe %s: %v", rcpts[i].Address, name, status)
		}
	}
	return answers
}

// run calls the program once.
func (a *Agent) run(ctx context.Context, p *pipe, env *mail.Envelope, rcpts []mail.Recipient, text []byte) *mail.Status {
	if p.MaxSize > 0 && int64(len(text)) > p.MaxSize {
		return mail.NewStatus(552, "5.3.4", "the message has %d bytes, %d are accepted there", len(text), p.MaxSize)
	}
	words, err := p.words(env, rcpts, len(text))
	if errors.Is(err, errOption) {
		return mail.NewStatus(553, "5.1.3", "an address that begins with a hyphen cannot be delivered there")
	}
	content, err := p.content(env, rcpts, text)
	if err != nil {
		return mail.StatusOf(err)
	}
	job := helper.Job{User: p.User, Program: words, Content: bytes.NewReader(content), CRLF: p.CRLF, Timeout: p.Timeout,
		Env: helper.Environment(env.From, rcpts[0].Address, p.Separator)}
	if env.ID != "" {
		job.Env = append(job.Env, "QUEUE_ID="+string(env.ID))
	}
	result, err := a.runner.Run(ctx, job)
	if err != nil {
		return mail.StatusOf(err)
	}
	status := result.Status()
	if status.OK() && !p.has('X') {
		status.Enhanced = "2.1.9" // RFC 5248: passed on to what reports no more
	}
	return status
}
