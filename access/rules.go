package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"posthaste/explain"
	"posthaste/mail"
	"posthaste/table"
)

// Rules decide. A nil *Rules has no opinion on anything.
type Rules struct {
	byStage   map[Stage][]rule
	separator byte
	log       *slog.Logger
}

type rule struct {
	name     string // "sender file:/etc/…"
	table    table.Table
	fallback *verdict // nil: the next rule decides
}

// New opens the tables of c. The error names everything that is wrong.
func New(c Config) (*Rules, error) {
	r := &Rules{byStage: make(map[Stage][]rule), separator: c.Separator, log: c.Log}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	var wrong []error
	for _, given := range c.Rules {
		made, err := open(given, c.Open)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("access rule for stage %q: %w", given.Stage, err))
			continue
		}
		r.byStage[given.Stage] = append(r.byStage[given.Stage], made)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return r, nil
}

func open(given Rule, openTable func(string) (table.Table, error)) (rule, error) {
	switch given.Stage {
	case Client, Helo, Sender, Recipient, Etrn:
	default:
		return rule{}, errors.New("it can be client, helo, sender, recipient or etrn")
	}
	t, err := openTable(given.Table)
	if err != nil {
		return rule{}, err
	}
	made := rule{name: fmt.Sprintf("%s %v", given.Stage, given.Table), table: t}
	if given.Default != "" {
		v, err := parseVerdict(given.Default)
		if err != nil {
			return rule{}, fmt.Errorf("default: %w", err)
		}
		made.fallback = &v
	}
	return made, nil
}

// Client decides about a connection from ip, whose name, confirmed forward and back, is name, or empty.
// Keys: the name ("unknown" where there is none) and its parents, then the address and its networks at
// dots or colons, as in access(5).
func (r *Rules) Client(ctx context.Context, ip netip.Addr, name string) (Decision, error) {
	ip = ip.Unmap().WithZone("")
	host := name
	if host == "" {
		host = "unknown"
	}
	return r.decide(ctx, Client, ip.String(), []group{{hostKeys(host)}, {addressKeys(ip)}})
}

// Helo decides about what a client calls itself: a host name or an address literal. Keys: the name and
// its parents; for a literal also the address in it.
func (r *Rules) Helo(ctx context.Context, name string) (Decision, error) {
	groups := []group{{hostKeys(name)}}
	if ip, ok := literal(name); ok {
		groups = append(groups, group{addressKeys(ip)})
	}
	return r.decide(ctx, Helo, name, groups)
}

// Sender decides about a reverse-path. Keys are those of [Rules.Recipient]; that of the null
// reverse-path is "<>".
func (r *Rules) Sender(ctx context.Context, from mail.ReversePath) (Decision, error) {
	if from.Null() {
		return r.decide(ctx, Sender, "<>", []group{{[]string{"<>"}}})
	}
	return r.decide(ctx, Sender, from.Path(), []group{{mailKeys(from.Address, r.sep())}})
}

// Recipient decides about a forward-path. Keys: user+tag@domain, user@domain, the domain and its
// parents, "user+tag@", "user@".
func (r *Rules) Recipient(ctx context.Context, to mail.Address) (Decision, error) {
	return r.decide(ctx, Recipient, to.String(), []group{{mailKeys(to, r.sep())}})
}

// Etrn decides about the domain that a client asks to have its queue run for. Keys: it and its parents.
func (r *Rules) Etrn(ctx context.Context, domain string) (Decision, error) {
	return r.decide(ctx, Etrn, domain, []group{{hostKeys(domain)}})
}

func (r *Rules) sep() byte {
	if r == nil {
		return 0
	}
	return r.separator
}

// decide asks the rules of stage in their order about subject.
func (r *Rules) decide(ctx context.Context, stage Stage, subject string, groups []group) (Decision, error) {
	result := Decision{Action: Dunno}
	if r == nil {
		return result, nil
	}
	for i := range r.byStage[stage] {
		d, err := r.ask(ctx, &r.byStage[stage][i], subject, groups)
		if err != nil {
			r.log.Error("an access rule cannot be asked, the client is told to come again later", "rule", r.byStage[stage][i].name, "error", err)
			return Decision{}, err
		}
		switch d.Action {
		case Dunno:
		case Hold:
			if result.Action == Dunno {
				result = d
			}
		case Permit:
			if result.Action == Dunno { // else what is held stays held
				result = d
			}
			return result, nil
		default:
			return d, nil
		}
	}
	return result, nil
}

// ask asks one rule.
func (r *Rules) ask(ctx context.Context, asked *rule, subject string, groups []group) (Decision, error) {
	for _, g := range groups {
		value, key, found, err := table.First(ctx, asked.table, g.keys...)
		if err != nil {
			return Decision{}, fmt.Errorf("access: rule %s: %w", asked.name, err)
		}
		if !found {
			continue
		}
		v, err := parseVerdict(value)
		if err != nil {
			return Decision{}, fmt.Errorf("access: rule %s: value of %q: %w", asked.name, key, err)
		}
		return r.decision(ctx, v, subject, fmt.Sprintf("%s: %q → %q", asked.name, key, value)), nil
	}
	if asked.fallback != nil {
		return r.decision(ctx, *asked.fallback, subject, asked.name+": its default"), nil
	}
	explain.Note(ctx, "access", "rule %s says nothing about %s", asked.name, subject)
	return Decision{Action: Dunno}, nil
}

func (r *Rules) decision(ctx context.Context, v verdict, subject, why string) Decision {
	explain.Note(ctx, "access", "rule %s, so %s: %s", why, subject, v.action)
	if v.warn {
		r.log.Warn("an access rule warns", "rule", why, "text", v.text)
	}
	return Decision{Action: v.action, Status: v.status(), Rule: why}
}

// literal reads an address literal (RFC 5321 section 4.1.3).
func literal(name string) (netip.Addr, bool) {
	inner, ok := strings.CutPrefix(name, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		inner = inner[5:]
	}
	ip, err := netip.ParseAddr(inner)
	return ip, ok && closed && err == nil
}
