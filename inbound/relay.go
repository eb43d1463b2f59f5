package inbound

import (
	"context"
	"fmt"

	"posthaste/access"
	"posthaste/directory"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/table"
)

// checkRelayed tells whether a recipient of a domain that we relay for exists: by the tables of known
// recipients, else by the primary. Where there are tables and nobody to ask, the tables are all there
// is. Who does not exist is refused here, so that we need not report it to a sender that may be forged.
func (p *Policy) checkRelayed(ctx context.Context, to mail.Address) error {
	for _, t := range p.recipients {
		_, key, found, err := table.Address(ctx, t, to, p.separator)
		if err != nil {
			return fmt.Errorf("inbound: known recipients of %s: %w", to.Domain, err)
		}
		if found {
			explain.Note(ctx, "relay", "%s is a known recipient, as %s", to, key)
			return nil
		}
	}
	switch {
	case p.verifier != nil:
		return p.verifier.Check(ctx, to)
	case len(p.recipients) > 0:
		explain.Note(ctx, "relay", "no table of known recipients has %s", to)
		return mail.NewStatus(550, "5.1.1", "%s is unknown at the domain that we relay for", to)
	}
	explain.Note(ctx, "relay", "nothing tells who exists in %s: all are taken", to.Domain)
	return nil
}

// isRelayed tells whether mail for the domain of to is handed on for everybody.
func (p *Policy) isRelayed(ctx context.Context, to mail.Address) (bool, error) {
	target, err := p.directory.Resolve(ctx, to)
	if err != nil || target.Kind == directory.KindRelay || target.Kind.Ours() || p.relays == nil {
		return err == nil && target.Kind == directory.KindRelay, err
	}
	may, _, err := p.relays.MayRelay(ctx, mail.Origin{}.IP, to)
	return may, err
}

// CheckFlush tells whether a client may have mail for domain tried now (ETRN, RFC 1985): it is a domain
// that we relay for, and the client is trusted or listed in a rule of stage etrn.
func (p *Policy) CheckFlush(ctx context.Context, client mail.Origin, domain string) error {
	relayed, err := p.isRelayed(ctx, mail.Address{Local: "postmaster", Domain: domain})
	if err != nil {
		return fmt.Errorf("inbound: whether %s is relayed: %w", domain, err)
	}
	if !relayed {
		return mail.NewStatus(459, "4.7.1", "%s is no domain that we keep mail for", domain)
	}
	if p.Trusted(client.IP) {
		return nil
	}
	if p.rules != nil {
		switch d, err := p.rules.Etrn(ctx, domain); {
		case err != nil:
			return fmt.Errorf("inbound: access rules for ETRN: %w", err)
		case d.Action == access.Permit:
			return nil
		}
	}
	return mail.NewStatus(459, "4.7.1", "you may not ask for the mail of %s", domain)
}

// Verify answers VRFY from a client that may ask: the whole address, or why not. Of other domains than
// ours it knows nothing (252).
func (p *Policy) Verify(ctx context.Context, address mail.Address) (mail.Address, error) {
	if address.Domain == "" {
		address.Domain = p.domain
	}
	target, err := p.directory.Resolve(ctx, address)
	switch {
	case err != nil:
		return address, fmt.Errorf("inbound: resolve %s: %w", address, err)
	case !target.Kind.Ours():
		return address, mail.NewStatus(252, "2.1.5", "%s is not a domain of ours: send mail to find out", address.Domain)
	}
	answer, err := p.admit(ctx, mail.Origin{}, address)
	if err == nil && answer != nil {
		err = answer
	}
	return address, err
}
