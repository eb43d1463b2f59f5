// Package rewrite changes addresses on their way: canonical names, masquerading, copies for archives,
// and the names that the outside knows.
//
// A [Rewriter] is for three moments. When a message comes in, [Rewriter.Envelope] completes and
// rewrites the envelope and adds blind copies, and [Rewriter.Header] rewrites the header fields From,
// To and their like, of mail of our own users and machines. When it leaves for another host,
// [Rewriter.Outgoing] does what the generic tables say.
//
// In a header, the addresses alone change. Names, comments, folding and all other fields stay as they
// are, byte for byte; an address in a form that cannot be read strictly stays too. Whoever signs does
// so afterwards.
//
// Tables have the keys user+detail@domain, user@domain, @domain; the detail stays with what an address
// without it became. The value is one address, a name without domain, or "@domain" for the same name
// there. Values are not looked up again. A table that fails is a temporary error.
package rewrite

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"posthaste/aliases"
	"posthaste/directory"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/table"
)

// Bounds of one message.
const (
	MaxCopies  = 100    // blind copies that are added
	maxHeader  = 10_000 // addresses of a header that are looked up
	maxAddress = 4 << 10
)

// Where says which addresses a table is for.
type Where uint8

// The places of addresses.
const (
	EnvelopeSender Where = 1 << iota
	EnvelopeRecipient
	HeaderSender    // From, Sender, Reply-To
	HeaderRecipient // To, Cc, Bcc

	Senders    = EnvelopeSender | HeaderSender
	Recipients = EnvelopeRecipient | HeaderRecipient
	Everywhere = Senders | Recipients
)

// A Map is a table and the addresses that it is for.
type Map struct {
	Table table.Table
	Where Where
}

// Config says what is rewritten. Its zero value changes nothing.
type Config struct {
	// Domain completes names without domain; empty: they stay.
	Domain string
	// Separator divides user and detail in keys; 0: there are no details.
	Separator byte

	// Canonical maps, in order; the first that knows an address decides.
	Canonical []Map

	// Masquerade lists domains that stand for all hosts below them: user@host.example.org becomes
	// user@example.org. "!" before a domain keeps it, and all below it, as it is. The first that
	// fits decides. Recipients of the envelope stay. Keep lists local-parts that are not changed,
	// such as root.
	Masquerade []string
	Keep       []string

	// Blind copies: SenderBCC by sender, RecipientBCC by recipient; the value is a list of
	// addresses. AlwaysBCC is for every message.
	SenderBCC, RecipientBCC []table.Table
	AlwaysBCC               []mail.Address

	// Generic tables name addresses for mail that leaves this system.
	Generic []table.Table
}

// A Rewriter rewrites. It may be used at the same time.
type Rewriter struct {
	cfg      Config
	incoming Where // what Envelope and Header have to look at
}

// New returns a Rewriter.
func New(cfg Config) (*Rewriter, error) {
	r := &Rewriter{cfg: cfg}
	for _, m := range cfg.Canonical {
		r.incoming |= m.Where
	}
	r.cfg.Masquerade = nil
	for _, d := range cfg.Masquerade {
		name, kept := strings.CutPrefix(d, "!")
		name, err := directory.DomainName(name)
		if err != nil {
			return nil, fmt.Errorf("rewrite: masquerade: %w", err)
		}
		if kept {
			name = "!" + name
		}
		r.cfg.Masquerade = append(r.cfg.Masquerade, name)
	}
	if len(cfg.Masquerade) > 0 {
		r.incoming |= Everywhere &^ EnvelopeRecipient
	}
	if cfg.Domain != "" {
		r.incoming = Everywhere
	}
	return r, nil
}

// Envelope returns env as it goes on when a message comes in: addresses completed and rewritten, then
// blind copies added. It does not change what env shares.
func (r *Rewriter) Envelope(ctx context.Context, env mail.Envelope) (mail.Envelope, error) {
	j := r.job(ctx, r.canonical)
	if r.incoming&EnvelopeSender != 0 && !env.From.Null() {
		var err error
		if env.From.Address, err = j.rewrite(env.From.Address, EnvelopeSender); err != nil {
			return env, err
		}
	}
	if r.incoming&EnvelopeRecipient != 0 {
		if err := j.recipients(&env); err != nil {
			return env, err
		}
	}
	return r.addCopies(ctx, env)
}

// Recipient returns what one recipient becomes, for RCPT.
func (r *Rewriter) Recipient(ctx context.Context, to mail.Address) (mail.Address, error) {
	if r.incoming&EnvelopeRecipient == 0 {
		return to, nil
	}
	return r.job(ctx, r.canonical).rewrite(to, EnvelopeRecipient)
}

// Sender returns what a sender becomes, for MAIL.
func (r *Rewriter) Sender(ctx context.Context, from mail.ReversePath) (mail.ReversePath, error) {
	if r.incoming&EnvelopeSender == 0 || from.Null() {
		return from, nil
	}
	a, err := r.job(ctx, r.canonical).rewrite(from.Address, EnvelopeSender)
	return mail.ReversePath{Address: a}, err
}

// Header returns content with the addresses of its header rewritten. It is content itself where
// nothing changed, else a copy in memory.
func (r *Rewriter) Header(ctx context.Context, content mail.Content) (mail.Content, error) {
	if r.incoming&(HeaderSender|HeaderRecipient) == 0 {
		return content, nil
	}
	return r.job(ctx, r.canonical).header(content)
}

// Outgoing returns env and content as they leave for another host, addresses in envelope and header
// rewritten by the generic tables. It does not change what they share.
func (r *Rewriter) Outgoing(ctx context.Context, env mail.Envelope, content mail.Content) (mail.Envelope, mail.Content, error) {
	if len(r.cfg.Generic) == 0 {
		return env, content, nil
	}
	j := r.job(ctx, r.generic)
	if !env.From.Null() {
		var err error
		if env.From.Address, err = j.rewrite(env.From.Address, EnvelopeSender); err != nil {
			return env, content, err
		}
	}
	if err := j.recipients(&env); err != nil {
		return env, content, err
	}
	content, err := j.header(content)
	return env, content, err
}

// A job is the rewriting of one message, which remembers what each address became.
type job struct {
	ctx   context.Context
	rule  func(context.Context, mail.Address, Where) (mail.Address, error)
	known map[place]mail.Address
	full  string // domain that completes names
}

type place struct {
	address mail.Address
	where   Where
}

func (r *Rewriter) job(ctx context.Context, rule func(context.Context, mail.Address, Where) (mail.Address, error)) *job {
	return &job{ctx: ctx, rule: rule, known: map[place]mail.Address{}, full: r.cfg.Domain}
}

// rewrite returns what an address becomes.
func (j *job) rewrite(a mail.Address, where Where) (mail.Address, error) {
	if a.Domain == "" {
		a.Domain = j.full
	}
	if became, ok := j.known[place{a, where}]; ok {
		return became, nil
	}
	if len(j.known) >= maxHeader {
		return a, mail.NewStatus(554, "5.6.0", "the message has more than %d addresses", maxHeader)
	}
	became, err := j.rule(j.ctx, a, where)
	if err != nil {
		return a, fmt.Errorf("rewrite: %s: %w", a, err)
	}
	j.known[place{a, where}] = became
	return became, nil
}

// recipients rewrites those of env, in a list of its own. Two that become one stay two: each asked for
// its own report.
func (j *job) recipients(env *mail.Envelope) error {
	env.Recipients = slices.Clone(env.Recipients)
	for i := range env.Recipients {
		to := &env.Recipients[i]
		became, err := j.rewrite(to.Address, EnvelopeRecipient)
		if err != nil {
			return err
		}
		if became != to.Address && to.ORcpt == "" {
			to.ORcpt = "rfc822;" + to.Address.String()
		}
		to.Address = became
	}
	return nil
}

// canonical is the rule for mail that comes in.
func (r *Rewriter) canonical(ctx context.Context, a mail.Address, where Where) (mail.Address, error) {
	for _, m := range r.cfg.Canonical {
		if m.Where&where == 0 {
			continue
		}
		became, found, err := r.lookup(ctx, m.Table, a)
		if err != nil {
			return a, err
		}
		if found {
			a = became
			break
		}
	}
	if where != EnvelopeRecipient {
		a = r.masquerade(ctx, a)
	}
	return a, nil
}

// generic is the rule for mail that leaves.
func (r *Rewriter) generic(ctx context.Context, a mail.Address, _ Where) (mail.Address, error) {
	for _, t := range r.cfg.Generic {
		if became, found, err := r.lookup(ctx, t, a); err != nil || found {
			return became, err
		}
	}
	return a, nil
}

// lookup returns what a table makes of an address.
func (r *Rewriter) lookup(ctx context.Context, t table.Table, a mail.Address) (mail.Address, bool, error) {
	value, key, found, err := table.Address(ctx, t, a, r.cfg.Separator)
	if err != nil || !found {
		return a, false, err
	}
	became, err := r.value(a, key, value)
	if err != nil {
		return a, false, fmt.Errorf("the table has %q for %s: %w", value, key, err)
	}
	explain.Note(ctx, "rewrite", "%s becomes %s: the table has %s for %s", a, became, value, key)
	return became, true, nil
}

// value reads what stands for key, which is a, a without detail, or its domain.
func (r *Rewriter) value(a mail.Address, key, value string) (mail.Address, error) {
	value = strings.TrimSpace(value)
	if domain, ok := strings.CutPrefix(value, "@"); ok {
		name, err := directory.DomainName(domain)
		return mail.Address{Local: a.Local, Domain: name}, err
	}
	list, err := aliases.ParseTargets([]byte(value))
	if err != nil {
		return a, err
	}
	if len(list) != 1 || list[0].Kind != aliases.Address {
		return a, fmt.Errorf("want one address")
	}
	became := list[0].Address
	if became.Domain == "" {
		became.Domain = r.cfg.Domain
	}
	user := a
	if i := strings.IndexByte(a.Local, r.cfg.Separator); r.cfg.Separator != 0 && i > 0 {
		user.Local = a.Local[:i]
	}
	if user != a && strings.EqualFold(key, user.String()) {
		became.Local += a.Local[len(user.Local):]
	}
	return became, nil
}

// masquerade hides the host in an address.
func (r *Rewriter) masquerade(ctx context.Context, a mail.Address) mail.Address {
	if len(r.cfg.Masquerade) == 0 || slices.ContainsFunc(r.cfg.Keep, func(k string) bool { return strings.EqualFold(k, a.Local) }) {
		return a
	}
	for _, d := range r.cfg.Masquerade {
		name, kept := strings.CutPrefix(d, "!")
		if a.Domain != name && !strings.HasSuffix(a.Domain, "."+name) {
			continue
		}
		if kept || a.Domain == name {
			return a
		}
		explain.Note(ctx, "rewrite", "%s shows no host: %s", a, name)
		return mail.Address{Local: a.Local, Domain: name}
	}
	return a
}
