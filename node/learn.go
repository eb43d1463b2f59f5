package node

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"posthaste/filter/reputation"
	"posthaste/filter/spam/classifier"
	"posthaste/mail"
	"posthaste/mailauth/dmarc"
	"posthaste/mailauth/results"
	"posthaste/message"
	"posthaste/store"
)

// Bounds of learning.
const (
	maxLessons = 1000             // that wait; more are not learned
	lessonTime = 10 * time.Second // for one
	// readersWord is what a reader's word counts in reputation, in mails.
	readersWord = 2
)

// A learner teaches classifier and reputation what people say about messages: by moving them into and
// out of the mailbox for junk, by releasing them from quarantine, by never having wanted them (traps).
// It is best effort: what cannot be learned is no loss of mail.
type learner struct {
	classifier *classifier.Classifier
	reputation *reputation.Book
	hostname   string
	store      func(mail.AccountID) *store.Account
	enabled    func() bool
	log        *slog.Logger
	voices     voices

	refiled chan store.Refiled
}

// Refiled hears that a reader moved mail. It does not block.
func (l *learner) Refiled(r store.Refiled) {
	select {
	case l.refiled <- r:
	default:
		l.log.Warn("too much to learn at once: some of it is not learned", "account", r.Account, "emails", len(r.Emails))
	}
}

// Run learns until ctx ends.
func (l *learner) Run(ctx context.Context) error {
	for {
		select {
		case r := <-l.refiled:
			if l.enabled() {
				l.learn(ctx, r)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *learner) learn(ctx context.Context, r store.Refiled) {
	spam := r.To == store.RoleJunk
	if !spam && r.To == store.RoleTrash {
		return // who clears up says nothing
	}
	for _, id := range r.Emails {
		content, err := l.store(r.Account).Content(ctx, id)
		if err == nil {
			err = l.Learn(ctx, r.Account, content, spam)
		}
		if err != nil && ctx.Err() == nil {
			l.log.Warn("a message was not learned", "account", r.Account, "err", err)
		}
	}
}

// Learn teaches that content is spam, or is not, as account says; 0 speaks for all.
func (l *learner) Learn(ctx context.Context, account mail.AccountID, content []byte, spam bool) error {
	ctx, cancel := context.WithTimeout(ctx, lessonTime)
	defer cancel()
	m := message.Parse(content)
	class := classifier.Ham
	if spam {
		class = classifier.Spam
	}
	fresh, err := l.classifier.Learn(ctx, account, l.classifier.Tokenize(m), classifier.Key(m), class)
	if err != nil || !fresh {
		return err
	}
	now := time.Now()
	for _, id := range provenIn(m.Header, l.hostname) {
		if l.voices.hears(account, id, now) {
			l.reputation.Count(id, spam, readersWord, now)
		}
	}
	l.log.Info("learned", "account", account, "messageid", m.Header.MessageID(), "class", class.String())
	return nil
}

// provenIn returns whose a message is by the results that we wrote when it came.
func provenIn(h message.Header, hostname string) (all []reputation.Identity) {
	text := ""
	for _, v := range h.Values("Authentication-Results") {
		if results.Claims(v, hostname) {
			text = v
			break
		}
	}
	field, err := results.Parse(text)
	if text == "" || err != nil {
		return nil
	}
	for _, r := range field.Results {
		switch {
		case r.Method == "iprev":
			if ip, err := netip.ParseAddr(r.Property("policy.iprev")); err == nil {
				all = append(all, reputation.Network(ip))
			}
		case r.Value != "pass":
		case r.Method == "dkim":
			all = append(all, reputation.Domain(r.Property("header.d")))
		case r.Method == "spf":
			_, domain, found := strings.Cut(r.Property("smtp.mailfrom"), "@")
			if !found {
				domain = r.Property("smtp.mailfrom")
			}
			all = append(all, reputation.Domain(domain))
		case r.Method == "dmarc":
			if a := dmarc.Author(h); !a.IsZero() {
				all = append(all, reputation.Address(a))
			}
		}
	}
	return all
}
