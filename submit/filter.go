package submit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"posthaste/filter"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/message"
	"posthaste/trace"
)

// A Judge finds things in mail of our users that rules and engines do not: what a classifier says.
type Judge interface {
	Outgoing(ctx context.Context, m *filter.Mail, account mail.AccountID) []mail.Finding
}

// Filtering is what judges mail of our own users, before they hear 250. The zero Filtering judges
// nothing. Of the actions, Quarantine holds the message in the queue until an operator releases it, Junk
// and Tag do nothing.
type Filtering struct {
	Rules   *spam.Rules     // nil: nothing is judged
	Engines []filter.Engine // asked at the same time; each bounds itself
	Judges  []Judge
	Trace   trace.Recorder
	Log     *slog.Logger
}

// judged is what became of a message that is taken.
type judged struct {
	hold    string // why it waits for an operator; empty: it does not
	discard string // why nobody gets it
	env     mail.Envelope
	content mail.Content
}

// judge filters a groomed message. The error is the answer that refuses it.
func (s *Submitter) judge(ctx context.Context, env mail.Envelope, content mail.Content) (judged, error) {
	f := &s.cfg.Filtering
	done := judged{env: env, content: content}
	if f.Rules == nil {
		return done, nil
	}
	began := time.Now()
	m := &filter.Mail{Envelope: &env, Content: content.Bytes(), Message: message.Parse(content.Bytes()), Outgoing: true, Hostname: s.cfg.Hostname}
	found := f.Rules.Content(m, env.Received)
	for _, j := range f.Judges {
		found = append(found, j.Outgoing(ctx, m, env.Origin.Account)...)
	}
	var demands []spam.Demand
	for _, r := range filter.Ask(ctx, f.Engines, m, f.Log) {
		found = append(found, r.Findings...)
		if r.Action > mail.Accept {
			demands = append(demands, spam.Demand{Action: r.Action, Reason: r.Reason, Reply: r.Reply})
		}
		if r.Discard {
			done.discard = r.Reason
		}
		done.edit(&r.Edits)
	}
	v := f.Rules.Judge(found, demands...)
	answer := answerOf(&v, demands)
	if v.Action == mail.Quarantine {
		done.hold = "filter: " + v.Reason
	}
	s.tellVerdict(m, &v, answer, time.Since(began))
	if answer != nil {
		return done, answer
	}
	return done, nil
}

// edit changes a message as an engine asked. A message that is left without recipients goes to nobody.
func (j *judged) edit(e *filter.Edits) {
	if e.Empty() {
		return
	}
	j.content = mail.Bytes(e.Apply(j.content.Bytes()))
	if e.From != nil {
		j.env.From = *e.From
	}
	var kept []mail.Recipient
	for _, r := range j.env.Recipients {
		if !slices.Contains(e.Remove, r.Address) {
			kept = append(kept, r)
		}
	}
	for _, a := range e.Add[:min(len(e.Add), DefaultMaxRecipients)] {
		kept = append(kept, mail.Recipient{Address: a, Notify: mail.NotifyNever})
	}
	if j.env.Recipients = kept; len(kept) == 0 && j.discard == "" {
		j.discard = "a filter removed every recipient"
	}
}

// answerOf returns the reply that refuses a message, or nil.
func answerOf(v *mail.Verdict, demands []spam.Demand) *mail.Status {
	if v.Action < mail.Greylist {
		return nil
	}
	for _, d := range demands {
		if d.Action == v.Action && d.Reason == v.Reason && d.Reply != nil {
			return d.Reply
		}
	}
	if v.Action == mail.Greylist {
		return mail.NewStatus(451, "4.7.1", "put off by a filter: %s", v.Reason)
	}
	return mail.NewStatus(550, "5.7.1", "your message was not sent: %s", v.Reason)
}

// maxTold bounds the recipients that an event names.
const maxTold = 20

// tellVerdict leaves an event of what was decided, unless it was nothing.
func (s *Submitter) tellVerdict(m *filter.Mail, v *mail.Verdict, answer *mail.Status, took time.Duration) {
	if s.cfg.Filtering.Trace == nil || len(v.Findings) == 0 {
		return
	}
	env := m.Envelope
	e := trace.Event{ID: env.ID, MessageID: m.Message.Header.MessageID(), Step: trace.Check, OK: v.Action <= mail.Tag, Asked: "filter of outgoing mail", Answered: v.Action.String(),
		Reason: v.Reason, Text: spam.Sentence(v), From: env.From.Path(), Took: took, Verdict: v}
	for _, r := range env.Recipients[:min(len(env.Recipients), maxTold)] {
		e.To = append(e.To, r.Address)
	}
	if answer != nil {
		e.Answered = fmt.Sprintf("%s: %s", v.Action, answer.Error())
	}
	s.cfg.Filtering.Trace.Record(e)
}

// tellDiscarded leaves an event of a message that was taken for nobody.
func (s *Submitter) tellDiscarded(j *judged) {
	if s.cfg.Filtering.Trace == nil {
		return
	}
	s.cfg.Filtering.Trace.Record(trace.Event{ID: j.env.ID, Step: trace.Check, OK: true, From: j.env.From.Path(), Reason: j.discard,
		Text: "took the message and dropped it: " + j.discard})
}
