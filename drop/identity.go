package drop

import (
	"os/user"
	"slices"
	"strconv"
	"strings"

	"posthaste/mail"
	"posthaste/message"
)

// An identified is a message in the name of who submitted it.
type identified struct {
	user    mail.Address
	env     mail.Envelope
	content []byte // lines end in CRLF
}

// systemLogin asks the system's users.
func systemLogin(uid uint32) (login, name string) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return "uid" + strconv.FormatUint(uint64(uid), 10), ""
	}
	name, _, _ = strings.Cut(u.Name, ",") // the rest of the field is room and telephone
	return u.Username, name
}

// identify decides whose name a message carries. Root and trusted users name any sender. All others
// send as themselves, and a From field that says otherwise gets a Sender field beside it, which tells
// the truth (RFC 5322 section 3.6.2).
func (p *Picker) identify(s *Submission, uid uint32, content []byte) identified {
	login, fullName := p.cfg.Login(uid)
	m := identified{user: mail.Address{Local: login, Domain: p.cfg.Domain}}
	trusted := uid == 0 || slices.Contains(p.cfg.Trusted, login)
	m.env = mail.Envelope{
		From: mail.ReversePath{Address: m.user}, Recipients: s.Recipients,
		Body: s.Body, SMTPUTF8: s.SMTPUTF8, Ret: s.Ret, EnvID: s.EnvID,
		Origin: mail.Origin{Login: login},
	}
	if s.From != nil && (trusted || p.own(m.user, s.From.Address)) {
		m.env.From = p.complete(*s.From)
	}
	m.content = normal(content)
	h := message.ParseHeader(m.content)
	var extra []byte
	switch {
	case !h.Has("From"):
		extra = p.author(&m, s.Name, fullName)
	case !trusted && !p.ownFrom(m.user, h):
		m.content = without(h, m.content, "Sender")
		extra = message.AppendField(nil, "Sender", message.FormatAddresses([]message.MailAddress{{
			Local: m.user.Local, Domain: m.user.Domain,
		}}))
	}
	if len(extra) > 0 {
		m.content = append(extra, m.content...)
	}
	return m
}

// author returns a From field: the sender, with the name that was given or is known of the user.
func (p *Picker) author(m *identified, given, known string) []byte {
	a := m.env.From.Address
	name := given
	if a.IsZero() {
		a = m.user
	}
	if name == "" && a == m.user {
		name = known
	}
	return message.AppendField(nil, "From", message.FormatAddresses([]message.MailAddress{{
		Name: name, Local: a.Local, Domain: a.Domain,
	}}))
}

// own tells whether a is the user's own address, with the domain or without.
func (p *Picker) own(user, a mail.Address) bool {
	return strings.EqualFold(a.Local, user.Local) && (a.Domain == "" || strings.EqualFold(a.Domain, user.Domain))
}

// ownFrom tells whether From names the user and nobody else.
func (p *Picker) ownFrom(user mail.Address, h message.Header) bool {
	n := 0
	for a := range message.Mailboxes(h.From()) {
		if !p.own(user, a.Address()) {
			return false
		}
		n++
	}
	return n == 1 && len(h.Values("From")) == 1
}

func (p *Picker) complete(from mail.ReversePath) mail.ReversePath {
	if from.Local != "" && from.Domain == "" {
		from.Domain = p.cfg.Domain
	}
	return from
}
