// Package lookalike tells senders and hosts that look like others: letters of one alphabet in the place of
// another, digits for letters, one letter more or less, an address in the place of a name, the name of one
// of our people on the address of a stranger.
//
// All of it are functions of what they are given. [Check] judges the header of a message against what is
// [Known]; [Skeleton] and [Mixed] are for hosts in general. The package covers Latin, Cyrillic and Greek,
// in which nearly all such deceit is written, and not the whole of Unicode's table of confusables.
package lookalike

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"posthaste/mail"
	"posthaste/message"
)

// Bounds on what is looked at.
const (
	maxSenders = 10  // addresses of one field
	maxName    = 300 // bytes of a display name
)

// Known is what senders are compared with. Its zero value knows nobody.
type Known struct {
	Ours           *Index // our domains
	Correspondents *Index // domains of those our people write to
	// Person returns the address of the one of our people whose display name has that [NameKey].
	Person func(key string) (mail.Address, bool)
}

// Check judges From and Reply-To of a message from outside.
func Check(h message.Header, k Known) []mail.Finding {
	var found []mail.Finding
	n := 0
	for a := range message.Mailboxes(h.From()) {
		if n++; n > maxSenders {
			break
		}
		found = append(found, sender(a, k)...)
	}
	if f, ok := replyElsewhere(h); ok {
		found = append(found, f)
	}
	return found
}

// sender judges one address of From.
func sender(a message.MailAddress, k Known) []mail.Finding {
	var found []mail.Finding
	add := func(rule string, weight float64, meaning, evidence string, args ...any) {
		found = append(found, mail.Finding{Rule: rule, Weight: weight, Evidence: fmt.Sprintf(evidence, args...), Meaning: meaning})
	}
	address := a.Address()
	domain := Organization(address.Domain)
	name := a.Name[:min(len(a.Name), maxName)]
	if other, ok := addressIn(name); ok && Organization(other.Domain) != domain && !strings.Contains(strings.ToLower(name), " via ") {
		add("LOOKALIKE_ADDRESS_IN_NAME", 3, "The name of the sender holds an address that is not the sender's.", "%q is from %s", name, address)
	}
	ours := k.Ours.Has(domain)
	if k.Person != nil && !ours && NameKey(name) != "" {
		if own, ok := k.Person(NameKey(name)); ok && own.Domain != address.Domain {
			add("LOOKALIKE_PERSON", 2, "Somebody outside has the name of one of our people.", "%q is %s here, but this is from %s", name, own, address)
		}
	}
	if other, how, ok := k.Ours.Like(address.Domain); ok {
		add("LOOKALIKE_OUR_DOMAIN", 5, "The domain of the sender looks like one of ours.", "%s %s %s", address.Domain, how, other)
	} else if other, how, ok := k.Correspondents.Like(address.Domain); ok && !ours {
		add("LOOKALIKE_KNOWN_DOMAIN", 3, "The domain of the sender looks like one that our people write to.", "%s %s %s", address.Domain, how, other)
	}
	for label := range strings.SplitSeq(Unicode(address.Domain), ".") {
		if Mixed(label) {
			add("LOOKALIKE_SCRIPTS", 3, "The domain of the sender mixes alphabets within a word.", "%s", address.Domain)
			break
		}
	}
	return found
}

// replyElsewhere tells of answers that go to another organization. Lists do that by their nature.
func replyElsewhere(h message.Header) (mail.Finding, bool) {
	if h.Has("List-Id") || h.Has("List-Post") {
		return mail.Finding{}, false
	}
	var from []string
	for a := range message.Mailboxes(h.From()) {
		if len(from) < maxSenders {
			from = append(from, Organization(a.Address().Domain))
		}
	}
	n := 0
	for a := range message.Mailboxes(h.ReplyTo()) {
		if n++; n > maxSenders || len(from) == 0 {
			break
		}
		to := a.Address()
		if to.Domain != "" && !slices.Contains(from, Organization(to.Domain)) {
			return mail.Finding{Rule: "REPLY_ELSEWHERE", Weight: 0.5, Evidence: "answers go to " + to.String(),
				Meaning: "Answers go to another organization than the sender's."}, true
		}
	}
	return mail.Finding{}, false
}

// Organization returns the part of a domain that somebody registered, as "example.co.uk", in lower case. What
// has none is returned as it is.
func Organization(domain string) string {
	domain = strings.TrimSuffix(strings.ToLower(domain), ".")
	if org, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return org
	}
	return domain
}

// addressIn finds an address in a display name.
func addressIn(name string) (mail.Address, bool) {
	for word := range strings.FieldsSeq(name) {
		word = strings.Trim(word, `"'()<>[],;:`)
		at := strings.LastIndexByte(word, '@')
		if at <= 0 {
			continue
		}
		domain := strings.ToLower(word[at+1:])
		if dot := strings.IndexByte(domain, '.'); dot > 0 && !strings.HasSuffix(domain, ".") {
			return mail.Address{Local: word[:at], Domain: domain}, true
		}
	}
	return mail.Address{}, false
}

// minNameWords is how many words make a name that belongs to a person.
const minNameWords = 2

// NameKey makes one key of the ways to write a name: "Smith, John", "JOHN SMITH". Fewer than two words give "".
func NameKey(name string) string {
	words := strings.FieldsFunc(Skeleton(name), func(r rune) bool { return r == ' ' || r == ',' || r == '.' || r == '"' || r == '\'' || r == '\t' })
	if len(words) < minNameWords {
		return ""
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}
