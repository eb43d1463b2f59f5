package aliasmap

import (
	"context"
	"errors"
	"time"

	"posthaste/directory"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/srs"
)

// Returns is the layer of the return paths that we made for forwarded mail: each leads back to the
// sender that it holds. Its domain is ours.
type Returns struct {
	SRS *srs.Rewriter
}

// Domain tells whether domain is that of our return paths.
func (l *Returns) Domain(_ context.Context, domain string) (bool, error) {
	return domain == l.SRS.Domain(), nil
}

// Find leads a return path back. One that is forged or too old is refused.
func (l *Returns) Find(ctx context.Context, address mail.Address) (directory.Target, error) {
	if !srs.Is(address) {
		return directory.Target{}, nil
	}
	sender, err := l.SRS.Reverse(address, time.Now())
	explain.Note(ctx, "srs", "%s leads back to %s (%v)", address, sender, err)
	switch {
	case errors.Is(err, srs.ErrNone):
		return directory.Target{}, nil
	case errors.Is(err, srs.ErrExpired):
		return refused("this return path is too old, nothing comes back through it any more"), nil
	case err != nil:
		return refused("this return path was not made here"), nil
	}
	return directory.Target{Kind: directory.KindAlias, Addresses: []mail.Address{sender}}, nil
}

func refused(text string) directory.Target {
	return directory.Target{Kind: directory.KindFail, Status: mail.NewStatus(550, "5.1.1", text)}
}
