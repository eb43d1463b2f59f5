package inbound

import (
	"context"
	"slices"
	"strings"
	"time"

	"posthaste/directory"
	"posthaste/filter"
	"posthaste/filter/spam"
	"posthaste/mail"
	"posthaste/trace"
)

// A Personal judge knows things that differ between accounts: what their owners took for junk, whom they
// write to.
type Personal interface {
	// Personal returns what it finds in m for each of accounts, of which 0 stands for nobody in
	// particular. author is who m is from, zero where that is not proven.
	Personal(ctx context.Context, m *filter.Mail, author mail.Address, accounts []mail.AccountID) [][]mail.Finding
}

// A Quarantine keeps messages apart, as package quarantine does.
type Quarantine interface {
	// Keep makes content durable for the recipients of env. To keep one message again is a no-op.
	Keep(ctx context.Context, env mail.Envelope, content []byte, v mail.Verdict) error
}

// A Greylist puts off those that it does not know, as *greylist.List does.
type Greylist interface {
	// Try returns how long the client is to wait, 0 for not at all, and why. With suspicious, points ask
	// for it.
	Try(ctx context.Context, m *Message, suspicious bool, now time.Time) (wait time.Duration, reason string)
}

// An Observer hears what became of messages: statistics and reputation learn from it. It must not block.
type Observer interface {
	Judged(m *Message, v mail.Verdict, answer *mail.Status)
}

// Filtering is what judges mail of others beside the checks. The zero Filtering judges nothing.
type Filtering struct {
	Rules      *spam.Rules     // nil: nothing is judged
	Thresholds spam.Thresholds // of Rules, for the header
	Engines    []filter.Engine // asked at the same time; each bounds itself
	Personal   []Personal
	Quarantine Quarantine // nil: what should go there is filed as junk
	Greylist   Greylist   // nil: nobody is put off
	Observers  []Observer
	SkipLMTP   bool // what a queue hands over by LMTP is not judged

	Traps   map[mail.Address]bool                     // by address, in lower case: whoever writes to them sends spam
	Trapped func(ctx context.Context, content []byte) // learns what came for a trap
}

// isTrap tells whether an address is one that nobody writes to for good reason.
func (f *Filtering) isTrap(a mail.Address) bool {
	return len(f.Traps) > 0 && f.Traps[mail.Address{Local: strings.ToLower(a.Local), Domain: a.Domain}]
}

// trapped adds what it means that a message is for a trap too, and has it learned.
func (p *Policy) trapped(ctx context.Context, m *Message) {
	for _, r := range m.Envelope.Recipients {
		if !p.filtering.isTrap(r.Address) {
			continue
		}
		m.Findings = append(m.Findings, mail.Finding{Rule: "TRAP", Weight: 8, Evidence: r.Address.String(),
			Meaning: "The message is also for an address that nobody writes to for good reason."})
		p.filtering.Trapped(ctx, m.Content)
		return
	}
}

// weigh judges m for each recipient. The error is the answer that refuses it for all.
func (p *Policy) weigh(ctx context.Context, how Taking, m *Message) error {
	if p.spam == nil || how.Each && p.filtering.SkipLMTP {
		return nil
	}
	began := time.Now()
	f := m.forFilter()
	p.trapped(ctx, m)
	common := p.see(ctx, m, f, slices.Concat(how.Engines, p.filtering.Engines))
	accounts := p.accountsOf(ctx, m.Envelope.Recipients)
	each := p.findPersonal(ctx, m, f, accounts)
	m.verdicts = make([]mail.Verdict, len(accounts))
	for i := range accounts {
		if i > 0 && accounts[i] == accounts[0] {
			m.verdicts[i] = m.verdicts[0]
			continue
		}
		m.verdicts[i] = p.spam.Judge(append(common[:len(common):len(common)], each[i]...), m.Demands...)
	}
	m.shown = m.verdicts[0]
	if slices.ContainsFunc(accounts, func(a mail.AccountID) bool { return a != accounts[0] }) {
		m.shown = p.spam.Judge(common, m.Demands...)
	}
	p.soften(&m.shown)
	answer := p.conclude(ctx, how, m)
	p.tellVerdicts(how, m, answer, time.Since(began))
	for _, o := range p.filtering.Observers {
		o.Judged(m, m.verdicts[0], answer)
	}
	if answer != nil {
		return answer
	}
	return nil
}

// forFilter returns m as engines look at it.
func (m *Message) forFilter() *filter.Mail {
	return &filter.Mail{Envelope: m.Envelope, Content: m.Content, Message: m.parse(), Hostname: m.host,
		Results: m.AuthenticationResults()}
}

// see returns what rules and engines find in m for everybody, and takes in what engines ask for.
func (p *Policy) see(ctx context.Context, m *Message, f *filter.Mail, engines []filter.Engine) []mail.Finding {
	found := slices.Clone(m.Findings)
	for _, r := range m.Results {
		if r.Quiet {
			continue
		}
		if finding, ok := p.spam.Result(r.Method, r.Result, r.Reason); ok {
			found = append(found, finding)
		}
	}
	found = append(found, p.spam.Content(f, m.Envelope.Received)...)
	for _, r := range filter.Ask(ctx, engines, f, p.log) {
		found = append(found, r.Findings...)
		m.take(r)
	}
	return found
}

// take does what an engine asks for.
func (m *Message) take(r filter.Result) {
	if r.Action > mail.Accept {
		m.Demands = append(m.Demands, spam.Demand{Action: r.Action, Reason: r.Reason, Reply: r.Reply})
	}
	if r.Discard && m.discard == "" {
		m.discard = r.Reason
	}
	m.edits = append(m.edits, r.Edits)
}

// accountsOf returns the account of each recipient, 0 where it has none or leads to several.
func (p *Policy) accountsOf(ctx context.Context, recipients []mail.Recipient) []mail.AccountID {
	accounts := make([]mail.AccountID, len(recipients))
	for i, r := range recipients {
		if target, err := p.directory.Resolve(ctx, r.Address); err == nil && target.Kind == directory.KindAccount {
			accounts[i] = target.Account
		}
	}
	return accounts
}

// findPersonal returns what is found for each recipient by itself.
func (p *Policy) findPersonal(ctx context.Context, m *Message, f *filter.Mail, accounts []mail.AccountID) [][]mail.Finding {
	each := make([][]mail.Finding, len(accounts))
	for _, judge := range p.filtering.Personal {
		for i, found := range judge.Personal(ctx, f, m.Evidence.Author, accounts) {
			each[i] = append(each[i], found...)
		}
	}
	return each
}

// conclude makes one answer of the verdicts for all recipients, or none: then each recipient has an
// action that delivery can take.
func (p *Policy) conclude(ctx context.Context, how Taking, m *Message) *mail.Status {
	gentlest := mail.Reject
	for i := range m.verdicts {
		gentlest = min(gentlest, m.verdicts[i].Action)
	}
	switch {
	case how.Each: // a queue that we trust would have to return it, often to somebody who never sent it
	case gentlest == mail.Reject:
		return m.refusal(&m.verdicts[0])
	case gentlest == mail.Greylist:
		if s := p.putOff(ctx, m); s != nil {
			return s
		}
	case gentlest < mail.Quarantine && p.filtering.Greylist != nil:
		if s := p.tryGreylist(ctx, m, false); s != nil {
			return s
		}
	}
	for i := range m.verdicts {
		p.soften(&m.verdicts[i])
	}
	return nil
}

// soften makes of an action that cannot be taken for one recipient alone the next gentler one.
func (p *Policy) soften(v *mail.Verdict) {
	if v.Action > mail.Quarantine {
		v.Action = mail.Quarantine
	}
	if v.Action == mail.Quarantine && p.filtering.Quarantine == nil {
		v.Action = mail.Junk
	}
}

// putOff is the answer to mail that somebody asked to be put off: an engine that fails closed, or points
// that make greylisting.
func (p *Policy) putOff(ctx context.Context, m *Message) *mail.Status {
	for _, d := range m.Demands {
		if d.Action == mail.Greylist && d.Reply != nil {
			return d.Reply
		}
	}
	if p.filtering.Greylist == nil {
		return nil
	}
	return p.tryGreylist(ctx, m, true)
}

func (p *Policy) tryGreylist(ctx context.Context, m *Message, suspicious bool) *mail.Status {
	wait, reason := p.filtering.Greylist.Try(ctx, m, suspicious, m.Envelope.Received)
	if wait <= 0 {
		return nil
	}
	for i := range m.verdicts {
		m.verdicts[i].Action, m.verdicts[i].Reason = mail.Greylist, reason
	}
	return mail.NewStatus(451, "4.7.1", "greylisted: try again in %d seconds", int(wait/time.Second))
}

// refusal is the answer to a message that is refused.
func (m *Message) refusal(v *mail.Verdict) *mail.Status {
	for _, d := range m.Demands {
		switch {
		case d.Action != mail.Reject || d.Reason != v.Reason:
		case d.Reply != nil:
			return d.Reply
		default:
			return mail.NewStatus(550, "5.7.1", "refused: %s", d.Reason)
		}
	}
	return mail.NewStatus(550, "5.7.1", "refused as spam: %s", v.Reason)
}

// maxVerdictEvents bounds the events of one message.
const maxVerdictEvents = 20

// tellVerdicts leaves an event for each verdict that differs from those before it.
func (p *Policy) tellVerdicts(how Taking, m *Message, answer *mail.Status, took time.Duration) {
	told := 0
	for i := range m.verdicts {
		v := &m.verdicts[i]
		same := func(o mail.Verdict) bool { return o.Action == v.Action && o.Score == v.Score }
		if slices.ContainsFunc(m.verdicts[:i], same) || told == maxVerdictEvents {
			continue
		}
		told++
		e := trace.Event{ID: m.Envelope.ID, Session: how.Session, Step: trace.Check, OK: v.Action <= mail.Tag, Peer: m.peer(),
			Asked: "filter", Answered: v.Action.String(), Reason: v.Reason, Text: spam.Sentence(v), From: m.Envelope.From.Path(),
			MessageID: m.messageID, Took: took, Verdict: v}
		if answer != nil {
			e.Answered += ": " + answer.Error()
		}
		for j, r := range m.Envelope.Recipients {
			if len(e.To) < maxVerdictEvents && same(m.verdicts[j]) {
				e.To = append(e.To, r.Address)
			}
		}
		p.trace.Record(e)
	}
}
