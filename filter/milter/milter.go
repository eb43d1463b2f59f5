// Package milter asks filters that speak the milter protocol of Sendmail and Postfix, version 6: opendkim,
// opendmarc, rspamd, clamav-milter and many that people wrote for themselves.
//
// A [Client] is a filter.Engine. Its Scan tells a milter the whole session once the message is there, as
// though it were going on: connect, HELO, MAIL, each RCPT, DATA, header, body. A recipient that the milter
// refuses is taken out of the envelope by the edits. A [Session] tells it the same step by step, so that
// each RCPT can be answered when it is asked; Scan is made of one.
//
// One connection serves one SMTP session, as with Postfix. Every wait ends with its context, the flags by
// which a milter wants to hear or answer less are honoured, and what it may change is bounded. The
// protocol has no requests that could be repeated in the middle: when the milter goes away the Session is
// over, and filter.Guard says what that means for mail.
//
// The client is our own, since github.com/emersion/go-milter has no context, takes SKIP and recipients
// with arguments for errors, and knows neither DATA nor macros of the milter's choice.
package milter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"posthaste/filter"
	"posthaste/mail"
)

// A Config names a milter.
type Config struct {
	Name     string // for log, trace and findings; empty: the address
	Address  string // in the notation of Postfix: inet:host:port, unix:/path
	Hostname string // ours, macro j, where a message does not say
}

// A Client asks one milter. Its methods may be called at the same time.
type Client struct {
	cfg              Config
	network, address string
}

// New returns a Client. It connects to nobody yet.
func New(cfg Config) (*Client, error) {
	network, address, err := parseAddress(cfg.Address)
	if err != nil {
		return nil, err
	}
	cfg.Name = cmp.Or(cfg.Name, cfg.Address)
	return &Client{cfg: cfg, network: network, address: address}, nil
}

// parseAddress reads the notation of Postfix, and local: of Sendmail for unix:.
func parseAddress(s string) (network, address string, err error) {
	kind, rest, _ := strings.Cut(s, ":")
	switch kind {
	case "inet":
		host, port, err := net.SplitHostPort(rest)
		if err != nil || port == "" {
			return "", "", fmt.Errorf("milter: %q: want inet:host:port", s)
		}
		return "tcp", net.JoinHostPort(host, port), nil
	case "unix", "local":
		if !strings.HasPrefix(rest, "/") {
			return "", "", fmt.Errorf("milter: %q: want unix:/path", s)
		}
		return "unix", rest, nil
	}
	return "", "", fmt.Errorf("milter: %q is no address of a milter: want inet:host:port or unix:/path", s)
}

// Name is that of the configuration.
func (c *Client) Name() string { return c.cfg.Name }

// Scan tells the milter how m came and returns what it asks for.
func (c *Client) Scan(ctx context.Context, m *filter.Mail) (filter.Result, error) {
	s, err := c.Dial(ctx)
	if err != nil {
		return filter.Result{}, err
	}
	defer s.Close()
	env := m.Envelope
	for _, ask := range []func() error{
		func() error { return s.Connect(ctx, env.Origin) },
		func() error { return s.Helo(ctx, env.Origin) },
		func() error { return s.Mail(ctx, env, len(m.Content)) },
	} {
		if err := ask(); err != nil {
			return s.refused(err)
		}
	}
	lost, err := s.recipients(ctx, env.Recipients)
	if err != nil {
		return filter.Result{}, err
	}
	if lost.none || lost.later {
		return s.refused(lost.last)
	}
	r, err := s.Message(ctx, m)
	if err != nil {
		return filter.Result{}, err
	}
	r.Edits.Remove = append(r.Edits.Remove, lost.addresses...)
	r.Findings = append(lost.findings, r.Findings...)
	return r, nil
}

// refused makes a result of the error of a stage: an answer of the milter, or its failure.
func (s *Session) refused(err error) (filter.Result, error) {
	var status *mail.Status
	if !errors.As(err, &status) {
		return filter.Result{}, err
	}
	return s.refusal(status), nil
}

// refusal is the result of a message that the milter refuses or puts off.
func (s *Session) refusal(status *mail.Status) filter.Result {
	r := filter.Result{Action: mail.Greylist, Reply: status, Reason: s.client.Name() + " puts the message off"}
	rule := "MILTER_LATER"
	if status.Permanent() {
		rule, r.Action, r.Reason = "MILTER_REFUSED", mail.Reject, s.client.Name()+" refuses the message"
	}
	r.Findings = []mail.Finding{s.finding(rule, status.Error(), "A filter answers the client in its own words.")}
	return r
}

// finding tells something of the milter. It weighs nothing: a milter acts, it does not score.
func (s *Session) finding(rule, evidence, meaning string) mail.Finding {
	return mail.Finding{Rule: rule, Evidence: s.client.Name() + ": " + evidence, Meaning: meaning}
}

// A loss is what became of the recipients that a milter did not take.
type loss struct {
	addresses []mail.Address
	findings  []mail.Finding
	last      *mail.Status
	none      bool // none is left
	later     bool // one is to come again
}

// recipients tells of each. After DATA a single recipient can no longer be put off: then all are, since
// to lose one is worse than to get all again.
func (s *Session) recipients(ctx context.Context, all []mail.Recipient) (loss, error) {
	var lost loss
	for _, r := range all {
		err := s.Rcpt(ctx, r)
		var status *mail.Status
		switch {
		case err == nil:
			continue
		case !errors.As(err, &status):
			return loss{}, err
		case status.Temporary():
			return loss{last: status, later: true}, nil
		}
		lost.last = status
		lost.addresses = append(lost.addresses, r.Address)
		lost.findings = append(lost.findings, s.finding("MILTER_RECIPIENT_REFUSED", r.Address.String()+": "+status.Error(),
			"A filter refuses one of the recipients, who does not get the message."))
	}
	lost.none = len(all) > 0 && len(lost.addresses) == len(all)
	return lost, nil
}
