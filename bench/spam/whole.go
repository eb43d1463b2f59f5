package main

import (
	"context"
	"strings"
	"time"

	"posthaste/filter"
	"posthaste/filter/attachment"
	"posthaste/filter/lookalike"
	"posthaste/filter/spam"
	"posthaste/filter/spam/classifier"
	"posthaste/filter/urls"
	"posthaste/mail"
	"posthaste/message"
)

// A whole is the filter as a node has it by default, without all that asks the network or knows the
// recipient: no SPF, DKIM, DMARC, lists, greylisting, reputation or correspondents.
type whole struct {
	rules       *spam.Rules
	attachments *attachment.Policy
}

func newWhole() (whole, error) {
	rules, err := spam.New(spam.Config{Thresholds: spam.Thresholds{Tag: spam.DefaultTag, Junk: spam.DefaultJunk, Reject: spam.DefaultReject}})
	return whole{rules, attachment.New(attachment.Config{Actions: map[attachment.Class]mail.Action{
		attachment.Executable: mail.Reject, attachment.Script: mail.Reject, attachment.Disguise: mail.Quarantine,
		attachment.Listed: mail.Reject, attachment.Bomb: mail.Quarantine,
	}})}, err
}

// junk tells whether a message would be kept out of the inbox.
func (w whole) junk(content []byte, m *message.Message, o classifier.Opinion) (bool, error) {
	env := &mail.Envelope{Received: received(m.Header)}
	f := &filter.Mail{Envelope: env, Content: content, Message: m, Hostname: "mx.example"}
	found := w.rules.Content(f, env.Received)
	found = append(found, urls.Extract(m).Findings...)
	found = append(found, lookalike.Check(m.Header, lookalike.Known{})...)
	r, err := w.attachments.Scan(context.Background(), f)
	if err != nil {
		return false, err
	}
	found = append(found, r.Findings...)
	found = append(found, mail.Finding{Rule: "WORDS", Weight: o.Points()})
	v := w.rules.Judge(found, spam.Demand{Action: r.Action, Reason: r.Reason})
	return v.Action >= mail.Junk, nil
}

// received returns when a message came, as the first trace field says.
func received(h message.Header) time.Time {
	field := h.Get("Received")
	when, _ := message.ParseDate(strings.TrimSpace(field[strings.LastIndexByte(field, ';')+1:]))
	return when
}
