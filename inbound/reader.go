package inbound

import (
	"context"
	"strings"
	"time"

	"posthaste/mail"
)

// A Reader reads what comes for an address of ours beside its delivery, such as reports of other hosts.
type Reader interface {
	// Receive reads content that was taken for delivery. An error says why nothing could be learned
	// from it.
	Receive(ctx context.Context, content []byte, now time.Time) error
}

// read gives m, which was taken, to the readers of its recipients.
func (p *Policy) read(ctx context.Context, m *Message) {
	if len(p.readers) == 0 {
		return
	}
	for _, r := range m.Envelope.Recipients {
		reader := p.readers[mail.Address{Local: strings.ToLower(r.Address.Local), Domain: r.Address.Domain}]
		if reader == nil {
			continue
		}
		if err := reader.Receive(ctx, m.Content, m.Envelope.Received); err != nil {
			p.log.Warn("inbound: mail for an address that takes reports is none", "qid", m.Envelope.ID, "to", r.Address.String(), "err", err)
		}
	}
}
