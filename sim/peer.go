package sim

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"posthaste/mail"
	"posthaste/smtpd"
)

// A Peer is somebody else's mail host. It takes all mail unless it is told otherwise, keeps it in
// memory and never loses it.
type Peer struct {
	Name string
	IP   netip.Addr
	// Answer, where set, is the answer to RCPT; nil takes the recipient. It must be set before mail comes.
	Answer func(env mail.Envelope, to mail.Address) *mail.Status
	// BreakAfterDot, where set, tells whether the connection breaks when the message is taken, in
	// place of the 250.
	BreakAfterDot func(env mail.Envelope) bool
	// AnswerAfterDot, of an LMTP server, is the answer for a recipient once the message is there; nil
	// takes it.
	AnswerAfterDot func(to mail.Address) *mail.Status
	// Pause is how long it thinks before it takes a message.
	Pause time.Duration

	world *World
	stop  context.CancelFunc

	mu       sync.Mutex // guards what follows
	received []Received
}

// A Received is one message that a Peer took for one recipient.
type Received struct {
	At      time.Time
	From    mail.ReversePath
	To      mail.Address
	Content string
}

// Peer adds the mail host of a domain, which stands in the DNS with preference 10.
func (w *World) Peer(name, domain string) *Peer {
	w.t.Helper()
	w.DNS.MX(domain, 10, name)
	return w.peer(name, smtpd.MX, ports["mx"])
}

// LMTP adds somebody else's LMTP server, which no MX names.
func (w *World) LMTP(name string) *Peer {
	w.t.Helper()
	return w.peer(name, smtpd.LMTP, ports["lmtp"])
}

func (w *World) peer(name string, mode smtpd.Mode, port int) *Peer {
	w.t.Helper()
	p := &Peer{Name: name, IP: w.address(), world: w}
	w.peers = append(w.peers, p)
	w.DNS.Host(name, p.IP.String())
	ctx, stop := context.WithCancel(background())
	p.stop = stop
	ln, err := w.Net.Listen(fmt.Sprintf("%s:%d", p.IP, port))
	w.must(err, "listen as %s", name)
	server := smtpd.New(smtpd.Config{Mode: mode, Hostname: name, Recipients: p, Acceptor: p, SpoolDir: w.spoolDir()})
	w.running.Go(func() { server.Serve(ctx, ln) })
	return p
}

// CheckRecipient implements smtpd.Recipients.
func (p *Peer) CheckRecipient(_ context.Context, _ *smtpd.Session, env mail.Envelope, to mail.Recipient) (smtpd.Fate, error) {
	if p.Answer == nil {
		return smtpd.Fate{}, nil
	}
	if s := p.Answer(env, to.Address); s != nil {
		return smtpd.Fate{}, s
	}
	return smtpd.Fate{}, nil
}

// Accept implements smtpd.Acceptor.
func (p *Peer) Accept(_ context.Context, _ *smtpd.Session, env mail.Envelope, content mail.Content) (mail.QueueID, []error, error) {
	time.Sleep(p.Pause)
	outcomes := make([]error, len(env.Recipients))
	p.mu.Lock()
	for i, r := range env.Recipients {
		if p.AnswerAfterDot != nil {
			if s := p.AnswerAfterDot(r.Address); s != nil {
				outcomes[i] = s
				continue
			}
		}
		p.received = append(p.received, Received{time.Now(), env.From, r.Address, string(content.Bytes())})
	}
	p.mu.Unlock()
	if p.BreakAfterDot != nil && p.BreakAfterDot(env) {
		p.world.Net.Break(p.IP)
	}
	return mail.NewQueueID(time.Now(), 1, 1), outcomes, nil
}

// Received returns all that the peer took so far.
func (p *Peer) Received() []Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Received(nil), p.received...)
}
