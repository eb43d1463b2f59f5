package inbound

import (
	"context"
	"fmt"

	"posthaste/mail"
)

// A Rewriter changes addresses of the envelope as they come in, as *rewrite.Rewriter does.
type Rewriter interface {
	// Envelope returns env rewritten, with recipients of blind copies after those that were there.
	Envelope(ctx context.Context, env mail.Envelope) (mail.Envelope, error)
	// Recipient returns what Envelope makes of one recipient.
	Recipient(ctx context.Context, to mail.Address) (mail.Address, error)
}

func (p *Policy) rewriteRecipient(ctx context.Context, to mail.Address) (mail.Address, error) {
	if to.Domain == "" {
		to.Domain = p.domain
	}
	if p.rewriter == nil {
		return to, nil
	}
	to, err := p.rewriter.Recipient(ctx, to)
	if err != nil {
		return to, fmt.Errorf("inbound: recipient: %w", err)
	}
	return to, nil
}

func (p *Policy) rewrite(ctx context.Context, env *mail.Envelope) error {
	if p.rewriter == nil {
		return nil
	}
	rewritten, err := p.rewriter.Envelope(ctx, *env)
	if err != nil {
		return fmt.Errorf("inbound: envelope of %s: %w", env.ID, err)
	}
	*env = rewritten
	return nil
}
