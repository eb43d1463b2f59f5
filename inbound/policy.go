package inbound

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"posthaste/access"
	"posthaste/directory"
	"posthaste/explain"
	"posthaste/mail"
	"posthaste/wire"
)

// Rules decide by tables who may send what, as *access.Rules does.
type Rules interface {
	Client(ctx context.Context, ip netip.Addr, name string) (access.Decision, error)
	Helo(ctx context.Context, name string) (access.Decision, error)
	Sender(ctx context.Context, from mail.ReversePath) (access.Decision, error)
	Recipient(ctx context.Context, to mail.Address) (access.Decision, error)
	Etrn(ctx context.Context, domain string) (access.Decision, error)
}

// Relays knows for whom else mail is handed on, as access.Relay does.
type Relays interface {
	MayRelay(ctx context.Context, ip netip.Addr, to mail.Address) (may bool, reason string, err error)
}

// A Request is what a recipient is judged by.
type Request struct {
	Client mail.Origin
	From   mail.ReversePath
	To     mail.Address
	Each   bool // from a queue that we trust (LMTP): access rules do not apply
}

// A Decision is what becomes of a recipient that is taken. The zero Decision is ordinary delivery.
type Decision struct {
	Hold    string       // why its mail waits for an operator; empty: it does not
	Discard string       // why its mail is dropped; empty: it is not
	Answer  *mail.Status // a 2xx to give in the place of 250 2.1.5
}

// Trusted tells whether ip is a client that may send to anybody.
func (p *Policy) Trusted(ip netip.Addr) bool { return wire.Contains(p.trusted, ip) }

// CheckRecipient is the answer to RCPT: nil to take it, a *mail.Status to refuse, any other error is
// temporary. All stages of the access rules are asked here, so that the log knows whom refused mail was
// for and postmaster of our domains can be written to by everybody; [Policy.CheckClient] and
// [Policy.CheckHelo] are for who wants to turn clients away before.
func (p *Policy) CheckRecipient(ctx context.Context, r Request) (Decision, error) {
	d, err := p.judge(ctx, &r)
	if err != nil || d.Discard != "" {
		return d, err
	}
	to, err := p.rewriteRecipient(ctx, r.To)
	if err != nil {
		return d, err
	}
	if p.filtering.isTrap(to) {
		d.Discard = "a trap: nobody writes to this address for good reason"
		return d, nil
	}
	d.Answer, err = p.admit(ctx, r.Client, to)
	return d, err
}

// ExplainRecipient is CheckRecipient for who wants to know what it says (see package explain) and has no
// session. The confirmed name of the client is looked up when it is not given.
func (p *Policy) ExplainRecipient(ctx context.Context, client mail.Origin, from mail.ReversePath, to mail.Address) error {
	if p.Trusted(client.IP) {
		explain.Note(ctx, "relay", "%s is in relay.networks: it may send to anybody", client.IP)
	}
	d, err := p.CheckRecipient(ctx, Request{Client: client, From: from, To: to})
	switch {
	case err != nil:
		explain.Note(ctx, "answer", "%s", mail.StatusOf(err))
	case d.Discard != "":
		explain.Note(ctx, "answer", "250, and the message is dropped: %s", d.Discard)
	case d.Hold != "":
		explain.Note(ctx, "answer", "250, and the message is put on hold: %s", d.Hold)
	case d.Answer != nil:
		explain.Note(ctx, "answer", "%s", d.Answer)
	default:
		explain.Note(ctx, "answer", "250 2.1.5")
	}
	return err
}

// CheckClient asks the rules about a client that has said nothing yet.
func (p *Policy) CheckClient(ctx context.Context, client mail.Origin) error {
	if p.rules == nil || !client.IP.IsValid() {
		return nil
	}
	return refusalOf(p.rules.Client(ctx, client.IP, p.nameOf(ctx, client)))
}

// CheckHelo asks the rules about what a client calls itself.
func (p *Policy) CheckHelo(ctx context.Context, client mail.Origin) error {
	if p.rules == nil {
		return nil
	}
	return refusalOf(p.rules.Helo(ctx, client.Helo))
}

func refusalOf(d access.Decision, err error) error {
	if err == nil && d.Status != nil && (d.Action == access.Reject || d.Action == access.Defer) {
		return d.Status
	}
	return err
}

// nameOf returns the name of a client, confirmed forward and back, or "".
func (p *Policy) nameOf(ctx context.Context, client mail.Origin) string {
	if client.Name != "" || p.names == nil {
		return client.Name
	}
	name, err := p.names.Iprev(ctx, client.IP)
	if err != nil {
		return ""
	}
	return name
}

// judge asks the rules of all stages. The first that refuses or discards decides; one that holds does
// not keep later ones from refusing.
func (p *Policy) judge(ctx context.Context, r *Request) (d Decision, err error) {
	if p.rules == nil || r.Each {
		return d, nil
	}
	for _, stage := range []access.Stage{access.Client, access.Helo, access.Sender, access.Recipient} {
		found, err := p.ask(ctx, stage, r)
		if err != nil {
			return d, fmt.Errorf("inbound: access rules for the %s: %w", stage, err)
		}
		switch found.Action {
		case access.Reject, access.Defer:
			if stage != access.Recipient && p.isPostmaster(ctx, r.To) {
				explain.Note(ctx, "access", "the %s rules refuse, but postmaster takes mail from everybody", stage)
				continue
			}
			return d, found.Status
		case access.Discard:
			d.Discard = "access rule " + found.Rule
			return d, nil
		case access.Hold:
			d.Hold = "access rule " + found.Rule
		}
	}
	return d, nil
}

// ask asks the rules of one stage.
func (p *Policy) ask(ctx context.Context, stage access.Stage, r *Request) (access.Decision, error) {
	switch stage {
	case access.Client:
		if !r.Client.IP.IsValid() {
			return access.Decision{}, nil
		}
		return p.rules.Client(ctx, r.Client.IP, p.nameOf(ctx, r.Client))
	case access.Helo:
		return p.rules.Helo(ctx, r.Client.Helo)
	case access.Sender:
		return p.rules.Sender(ctx, r.From)
	default:
		return p.rules.Recipient(ctx, r.To)
	}
}

// isPostmaster tells whether to is the postmaster of one of our domains, whom everybody must be able to
// reach (RFC 5321 section 4.5.1).
func (p *Policy) isPostmaster(ctx context.Context, to mail.Address) bool {
	if !strings.EqualFold(to.Local, "postmaster") {
		return false
	}
	target, err := p.directory.Resolve(ctx, to)
	return err == nil && target.Kind.Ours()
}

// admit decides whether mail from client may go to a recipient, rewritten. answer is what to say in the
// place of 250, or nil.
func (p *Policy) admit(ctx context.Context, client mail.Origin, to mail.Address) (answer *mail.Status, err error) {
	if p.nullClient {
		return nil, p.admitToHub(ctx, client)
	}
	target, err := p.directory.Resolve(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("inbound: resolve %s: %w", to, err)
	}
	switch {
	case target.Kind == directory.KindMoved && target.Status != nil:
		explain.Note(ctx, "recipient", "%s has moved: %s", to, target.Status)
		if !target.Status.OK() {
			return nil, target.Status
		}
		return target.Status, nil
	case target.Kind.Ours():
		return nil, p.local.CheckRecipient(ctx, to)
	case p.Trusted(client.IP):
		explain.Note(ctx, "relay", "%s may send to anybody: it is in relay.networks", client.IP)
		return nil, nil
	case target.Kind == directory.KindRelay:
		explain.Note(ctx, "relay", "%s is a relay domain", to.Domain)
		return nil, p.checkRelayed(ctx, to)
	}
	return nil, p.checkRemote(ctx, client, to)
}

// admitToHub decides for a null client, which has no recipients of its own.
func (p *Policy) admitToHub(ctx context.Context, client mail.Origin) error {
	if p.Trusted(client.IP) {
		explain.Note(ctx, "relay", "%s is in relay.networks, and all mail goes to the hub", client.IP)
		return nil
	}
	explain.Note(ctx, "relay", "this host hands all mail to a hub, and takes it from relay.networks alone")
	return mail.NewStatus(550, "5.7.1", "relaying denied: this host takes mail only from machines that it knows")
}

// checkRemote is about a domain that the directory does not know.
func (p *Policy) checkRemote(ctx context.Context, client mail.Origin, to mail.Address) error {
	if p.relays != nil {
		may, reason, err := p.relays.MayRelay(ctx, client.IP, to)
		if err != nil {
			return fmt.Errorf("inbound: whether to relay to %s: %w", to, err)
		}
		if may {
			explain.Note(ctx, "relay", "%s", reason)
			return p.checkRelayed(ctx, to)
		}
	}
	explain.Note(ctx, "relay", "%s is not a domain of ours, and %s is no client that we relay for", to.Domain, client.IP)
	return mail.NewStatus(550, "5.7.1", "relaying denied: %s is not a domain of this server, "+
		"and mail to other domains is taken only from users who log in on a submission port", to.Domain)
}
