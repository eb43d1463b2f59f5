package classifier

import (
	"bytes"
	"strings"

	"posthaste/mail"
	"posthaste/message"
)

// Bounds on the header.
const (
	maxFields    = 200
	maxFieldName = 64      // bytes; fields with longer names are left out
	maxFieldText = 512     // bytes of one value that are read
	maxAddresses = 2 << 10 // bytes of one address field that are read
)

// ignored tells of a field that tells nothing about who sent a message: what the hosts that received
// it, their filters and the programs that filed it wrote, and dates.
func ignored(name string) bool {
	switch name {
	case "received", "return-path", "delivered-to", "envelope-to", "x-envelope-to", "x-envelope-from", "x-original-to",
		"x-apparently-to", "old-return-path", "date", "x-original-date", "delivery-date", "resent-date", "status", "x-status", "x-uid", "x-uidl", "x-keywords",
		"x-mozilla-status", "x-mozilla-status2", "x-evolution", "lines", "content-length", "replied", "forwarded", "authentication-results", "received-spf",
		"x-pyzor", "x-dcc", "x-bogosity", "x-crm114-status":
		return true
	}
	for _, prefix := range [...]string{"x-spam", "x-rspamd", "x-virus", "x-amavis", "x-posthaste", "arc-", "x-gmail-", "x-ms-exchange-organization"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// customary tells of a field that nearly every message has, so that its being there tells nothing.
func customary(name string) bool {
	switch name {
	case "from", "to", "subject", "message-id", "content-type", "mime-version", "content-transfer-encoding":
		return true
	}
	return false
}

// header adds what the header tells.
func (t *tokenizer) header(h message.Header, origin mail.Origin) {
	t.to(h)
	t.from(h)
	t.trace(h, origin)
	t.text(originSubject, message.DecodeWords(clip(h.Get("Subject"), maxFieldText)))
	t.messageID(h)
	for i, f := range h.Fields() {
		if i >= maxFields || t.full() {
			break
		}
		raw := f.Name()
		if len(raw) == 0 || len(raw) > maxFieldName {
			continue
		}
		name := string(bytes.ToLower(raw))
		if ignored(name) {
			continue
		}
		if !customary(name) {
			t.add(originHeader, kindField, name)
		}
		t.value(name, f)
	}
}

// value adds what the value of a field tells, of those fields that say how a message was made.
func (t *tokenizer) value(name string, f message.Field) {
	switch name {
	case "x-mailer", "user-agent", "x-mimeole", "x-newsreader", "organization":
		t.text(originMailer, clip(f.Unfolded(), maxFieldText))
	case "list-id", "mailing-list", "list-post", "list-unsubscribe", "sender", "errors-to", "x-sender":
		t.hosts(originList, clip(f.Unfolded(), maxFieldText))
	case "mime-version", "content-transfer-encoding", "x-priority", "x-msmail-priority", "importance", "priority", "precedence",
		"auto-submitted", "content-disposition", "content-language", "x-accept-language":
		t.begin()
		t.appendFolded(clip(name+"="+f.Unfolded(), 48))
		t.end(originHeader, kindValue)
	}
}

// addresses returns those that a field begins with.
func addresses(h message.Header, field string) []message.MailAddress {
	return message.ParseAddresses(clip(h.Get(field), maxAddresses))
}

// to notes how the message names its recipients, not who they are.
func (t *tokenizer) to(h message.Header) {
	count, named := 0, 0
	for _, field := range [...]string{"To", "Cc"} {
		for a := range message.Mailboxes(addresses(h, field)) {
			if count++; count > 20 {
				break
			}
			if a.Name != "" {
				named++
			}
			t.recipients = append(t.recipients, strings.ToLower(a.Local))
		}
	}
	t.add(originTo, kindCount, step(count))
	if named > 0 {
		t.add(originTo, kindName, "named")
	}
	if to, ok := h.Field("To"); !ok {
		t.add(originTo, kindCount, "no To")
	} else if count == 0 {
		t.text(originTo, clip(to.Unfolded(), maxFieldText))
	}
}

// isRecipient tells whether a word is the local-part of a recipient.
func (t *tokenizer) isRecipient(w []byte) bool {
	if len(w) < 2 {
		return false
	}
	for _, r := range t.recipients {
		if len(r) == len(w) && r == string(w) {
			return true
		}
	}
	return false
}

// step returns a count in steps.
func step(n int) string {
	switch {
	case n <= 3:
		return "0123"[n : n+1]
	case n <= 5:
		return "4-5"
	case n <= 10:
		return "6-10"
	case n <= 20:
		return "11-20"
	case n <= 50:
		return "21-50"
	}
	return "over 50"
}

// from adds the author and where answers go.
func (t *tokenizer) from(h message.Header) {
	from := addresses(h, "From")
	var domain string
	for i, a := range from {
		if i == 2 {
			break
		}
		domain = a.Domain
		if i == 0 {
			t.author = organization(domain)
		}
		t.text(originFrom, clip(a.Name, maxFieldText))
		t.begin()
		t.appendLower(clip(a.Local+"@"+a.Domain, maxFieldText))
		t.end(originFrom, kindAddress)
		t.shape(originFrom, kindLocal, a.Local)
		t.domain(originFrom, a.Domain)
		if a.Name == "" {
			t.add(originFrom, kindName, "none")
		}
		for _, r := range t.recipients {
			if r != "" && strings.EqualFold(r, a.Local) {
				t.add(originFrom, kindSame, "local-part as a recipient")
				break
			}
		}
	}
	for i, a := range addresses(h, "Reply-To") {
		if i == 2 {
			break
		}
		t.domain(originReplyTo, a.Domain)
		same := "other domain than From"
		if strings.EqualFold(a.Domain, domain) {
			same = "domain of From"
		}
		t.add(originReplyTo, kindSame, same)
	}
}

// appendLower appends s to the word being made, in lower case.
func (t *tokenizer) appendLower(s string) { t.arena = append(t.arena, strings.ToLower(s)...) }

// messageID adds what the Message-ID looks like: programs make them each in its own way.
func (t *tokenizer) messageID(h message.Header) {
	var id string
	if ids := message.ParseMessageIDs(clip(h.Get("Message-ID"), maxFieldText)); len(ids) > 0 {
		id = ids[0]
	}
	if id == "" {
		t.add(originID, kindShape, "none")
		t.add(originID, kindSame, "none")
		return
	}
	local, domain, _ := strings.Cut(id, "@")
	t.shape(originID, kindShape, local)
	t.domain(originID, domain)
	if !strings.Contains(domain, ".") {
		t.add(originID, kindOdd, "no domain")
	}
	same := "another domain than the author's"
	if organization(domain) == t.author {
		same = "the author's domain"
	}
	t.add(originID, kindSame, same)
}

// hosts adds the host names in s.
func (t *tokenizer) hosts(o origin, s string) {
	for i := 0; i < len(s) && !t.full(); {
		c := class[s[i]]
		if c != letter && c != digit {
			i++
			continue
		}
		end := i
		for end < len(s) && (class[s[end]] == letter || class[s[end]] == digit || s[end] == '-' || s[end] == '.') {
			end++
		}
		if strings.Contains(s[i:end], ".") {
			t.domain(o, s[i:end])
		}
		i = end
	}
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
