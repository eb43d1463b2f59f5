package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"posthaste/filter"
	"posthaste/filter/correspondents"
	"posthaste/filter/spam/classifier"
	"posthaste/mail"
	"posthaste/mailauth/dkim"
	"posthaste/mailauth/dmarc"
	"posthaste/quarantine"
)

// keeping puts messages into the quarantine.
type keeping struct{ quarantine *quarantine.Quarantine }

// Keep makes content durable for the recipients of env.
func (k keeping) Keep(ctx context.Context, env mail.Envelope, content []byte, v mail.Verdict) error {
	_, err := k.quarantine.Put(ctx, quarantine.Item{Envelope: env, Recipients: env.Recipients, Content: content, Verdict: v})
	return err
}

// reading judges by what readers took for junk before.
type reading struct {
	classifier *classifier.Classifier
	log        *slog.Logger
}

// Personal returns what the classifier thinks of m for each of accounts.
func (r reading) Personal(ctx context.Context, m *filter.Mail, _ mail.Address, accounts []mail.AccountID) [][]mail.Finding {
	tokens := r.classifier.TokenizeWith(m.Message, m.Envelope.Origin)
	known := make(map[mail.AccountID][]mail.Finding, 1)
	each := make([][]mail.Finding, len(accounts))
	for i, account := range accounts {
		found, ok := known[account]
		if !ok {
			found = r.find(ctx, account, tokens)
			known[account] = found
		}
		each[i] = found
	}
	return each
}

// Outgoing returns what it thinks of mail of our own users.
func (r reading) Outgoing(ctx context.Context, m *filter.Mail, account mail.AccountID) []mail.Finding {
	return r.find(ctx, 0, r.classifier.Tokenize(m.Message))
}

func (r reading) find(ctx context.Context, account mail.AccountID, tokens *classifier.Tokens) []mail.Finding {
	o, err := r.classifier.Score(ctx, account, tokens)
	if err != nil {
		r.log.Warn("the spam classifier cannot read what it learned", "account", account, "err", err)
	}
	weight := o.Points()
	if weight == 0 {
		return nil
	}
	f := mail.Finding{Rule: "WORDS_SPAM", Weight: weight, Meaning: "The message reads like mail that readers took for junk."}
	words := o.For
	if weight < 0 {
		f.Rule, f.Meaning, words = "WORDS_HAM", "The message reads like mail that readers wanted.", o.Against
	}
	f.Evidence = fmt.Sprintf("%.1f %% spam", 100*o.Spam)
	if text := wordsText(words); text != "" {
		f.Evidence += ": " + text
	}
	return []mail.Finding{f}
}

func wordsText(words []classifier.Word) string {
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.Text
	}
	return strings.Join(texts, ", ")
}

// familiar judges by whom the recipient wrote to, and whom it said to trust.
type familiar struct {
	quarantine *quarantine.Quarantine
	book       *correspondents.Book
	log        *slog.Logger
}

// knownWeight speaks for somebody whom the recipient wrote to.
const knownWeight = -4

// trustedWeight outweighs all that rules count, but nothing that a domain or a scanner asks for.
const trustedWeight = -50

// Personal finds whether each of accounts trusts the author, whose domain proved itself.
func (f familiar) Personal(ctx context.Context, _ *filter.Mail, author mail.Address, accounts []mail.AccountID) [][]mail.Finding {
	each := make([][]mail.Finding, len(accounts))
	if author.IsZero() {
		return each
	}
	for i, account := range accounts {
		if account == 0 {
			continue
		}
		trusted, err := f.quarantine.Trusted(ctx, quarantine.Owner(account, mail.Address{}), author.String())
		if err != nil {
			f.log.Warn("it is not known whom an account trusts", "account", account, "err", err)
		}
		if f.book.Knows(ctx, account, author) {
			each[i] = append(each[i], mail.Finding{Rule: "KNOWN_CORRESPONDENT", Weight: knownWeight, Evidence: author.String(),
				Meaning: "The recipient has written to this author."})
		}
		if trusted {
			each[i] = append(each[i], mail.Finding{Rule: "SENDER_TRUSTED", Weight: trustedWeight, Evidence: author.String(),
				Meaning: "The recipient said that this author is to be trusted."})
		}
	}
	return each
}

// aligning warns where mail of our users will not prove its author's domain to those who receive it.
type aligning struct {
	keys     *dkim.KeyStore
	resolver dmarc.Resolver
}

// alignTime bounds the look: a warning is not worth making anybody wait.
const alignTime = time.Second

// Outgoing returns a finding, of no weight, for a message that will not align (RFC 9989 section 5.1).
func (a aligning) Outgoing(ctx context.Context, m *filter.Mail, _ mail.AccountID) []mail.Finding {
	authors := dmarc.Authors(m.Message.Header)
	if len(authors) == 0 {
		return nil
	}
	envelope := m.Envelope.From.Domain
	var signing []string
	for _, domain := range []string{authors[0], envelope} {
		if has, err := a.keys.Has(ctx, domain); err == nil && has {
			signing = append(signing, domain)
			break // as package submit signs
		}
	}
	if len(signing) > 0 && signing[0] == authors[0] {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, alignTime)
	defer cancel()
	advice := dmarc.WouldAlign(ctx, a.resolver, authors[0], envelope, signing)
	if !advice.Known || advice.Aligned || advice.Policy <= dmarc.None {
		return nil
	}
	return []mail.Finding{{Rule: "NOT_ALIGNED", Evidence: advice.Sentence,
		Meaning: "Receivers cannot tell that the message is from its author's domain, and some refuse it."}}
}
