package rewrite

import (
	"context"
	"fmt"
	"slices"

	"posthaste/aliases"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/table"
)

// addCopies adds the recipients of blind copies to env. Nobody hears what becomes of a copy, and who
// gets the message already gets no second one.
func (r *Rewriter) addCopies(ctx context.Context, env mail.Envelope) (mail.Envelope, error) {
	if len(r.cfg.AlwaysBCC)+len(r.cfg.SenderBCC)+len(r.cfg.RecipientBCC) == 0 {
		return env, nil
	}
	copies := slices.Clone(r.cfg.AlwaysBCC)
	var err error
	if !env.From.Null() {
		if copies, err = r.copiesOf(ctx, r.cfg.SenderBCC, env.From.Address, copies); err != nil {
			return env, err
		}
	}
	for _, to := range env.Recipients {
		if copies, err = r.copiesOf(ctx, r.cfg.RecipientBCC, to.Address, copies); err != nil {
			return env, err
		}
	}
	seen := make(map[mail.Address]bool, len(env.Recipients))
	for _, to := range env.Recipients {
		seen[to.Address] = true
	}
	env.Recipients = slices.Clone(env.Recipients)
	added := 0
	for _, a := range copies {
		if seen[a] {
			continue
		}
		if added++; added > MaxCopies {
			return env, fmt.Errorf("rewrite: more than %d blind copies of one message", MaxCopies)
		}
		seen[a] = true
		env.Recipients = append(env.Recipients, mail.Recipient{Address: a, Notify: mail.NotifyNever})
	}
	return env, nil
}

// copiesOf appends to list who gets copies because of an address.
func (r *Rewriter) copiesOf(ctx context.Context, tables []table.Table, a mail.Address, list []mail.Address) ([]mail.Address, error) {
	for _, t := range tables {
		value, key, found, err := table.Address(ctx, t, a, r.cfg.Separator)
		if err != nil {
			return nil, fmt.Errorf("rewrite: copies for %s: %w", a, err)
		}
		if !found {
			continue
		}
		targets, err := aliases.ParseTargets([]byte(value))
		if err != nil {
			return nil, fmt.Errorf("rewrite: copies for %s: %w", key, err)
		}
		explain.Note(ctx, "rewrite", "%s has blind copies for %s", key, value)
		for _, target := range targets {
			if target.Kind != aliases.Address {
				return nil, fmt.Errorf("rewrite: copies for %s: %s is no address", key, target)
			}
			if target.Address.Domain == "" {
				target.Address.Domain = r.cfg.Domain
			}
			list = append(list, target.Address)
		}
		break
	}
	return list, nil
}
