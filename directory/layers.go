package directory

import (
	"context"
	"fmt"
	"strings"

	"posthaste/explain"
	"posthaste/mail"
)

// A Layer knows addresses that are not in the directory: alias files, alias tables, Unix users. Its
// errors are temporary.
type Layer interface {
	// Domain tells whether the layer makes domain, which is normal, one of ours.
	Domain(ctx context.Context, domain string) (bool, error)

	// Find tells where mail for address goes, in one step; KindNone says that the layer does not
	// know it. It is asked about addresses of all our domains. They come as they were written, the
	// domain in normal form.
	Find(ctx context.Context, address mail.Address) (Target, error)
}

// A Mailboxes is a Layer with mailboxes. Mailbox is like Find, but does not look at what the owner of
// the mailbox forwards.
type Mailboxes interface {
	Mailbox(ctx context.Context, address mail.Address) (Target, error)
}

// A CatchAll is a Layer that may take every address of a domain that nobody else takes.
type CatchAll interface {
	CatchAll(ctx context.Context, address mail.Address) (Target, error)
}

// Layers is a directory with further sources of addresses beneath it. Its methods may be called at the
// same time.
//
// The first of these that knows an address decides: its record in the directory, the exact one before
// the one without detail; Find of each layer, in order; the stand-ins for postmaster; CatchAll of each
// layer; the catch-all of the directory. So an account costs nothing more than without layers.
type Layers struct {
	directory *Directory
	layers    []Layer
}

// NewLayers returns d over layers.
func NewLayers(d *Directory, layers ...Layer) *Layers {
	return &Layers{directory: d, layers: layers}
}

// Resolve is [Directory.Resolve] over all layers. An alias that names itself among its targets means
// the mailbox of that name. An alias list whose domain has an owner-list too gets that for Owner.
func (l *Layers) Resolve(ctx context.Context, address mail.Address) (Target, error) {
	target, err := l.directory.Resolve(ctx, address)
	if err != nil {
		return Target{}, err
	}
	if target.Kind == KindAccount && !target.StandIn && !target.CatchAll {
		if explain.On(ctx) {
			explain.Note(ctx, "directory", "%s is account %s", address, target.Account)
		}
		return target, nil
	}
	return l.resolve(ctx, address, target)
}

// resolve goes on where the directory has an alias, a stand-in or nobody for address.
func (l *Layers) resolve(ctx context.Context, address mail.Address, known Target) (Target, error) {
	address.Domain = lowerASCII(address.Domain)
	if address.Domain == "" {
		address.Domain = l.directory.defaultDomain
	}
	target, err := l.find(ctx, address, known)
	if err != nil {
		return Target{}, fmt.Errorf("directory: resolve %s: %w", address, err)
	}
	if target.Kind == KindAlias {
		if target, err = l.finish(ctx, address, target); err != nil {
			return Target{}, fmt.Errorf("directory: resolve %s: %w", address, err)
		}
	}
	if explain.On(ctx) {
		explain.Note(ctx, "directory", "%s is %s", address, target)
	}
	return target, nil
}

// find asks the layers in turn, when the directory does not know address itself.
func (l *Layers) find(ctx context.Context, address mail.Address, known Target) (Target, error) {
	if known.Kind == KindRelay || known.Kind != KindNone && known.Kind != KindRemote && !known.CatchAll && !known.StandIn {
		return known, nil
	}
	ours := known.Kind != KindRemote
	if !ours {
		var err error
		if ours, err = l.owns(ctx, address.Domain); err != nil || !ours {
			return known, err
		}
		known = Target{}
	}
	for _, layer := range l.layers {
		if target, err := layer.Find(ctx, address); err != nil || target.Kind != KindNone {
			return target, err
		}
	}
	if known.StandIn {
		return known, nil
	}
	return l.lastResort(ctx, address, known)
}

// owns tells whether a layer makes a domain that is not in the directory ours.
func (l *Layers) owns(ctx context.Context, domain string) (bool, error) {
	if domain == "" || strings.HasPrefix(domain, "[") {
		return false, nil
	}
	for _, layer := range l.layers {
		if ours, err := layer.Domain(ctx, domain); ours || err != nil {
			return ours, err
		}
	}
	return false, nil
}

// lastResort is for addresses that nobody has: the catch-alls, and for the names that must reach
// somebody in domains without accounts, those who have them in the default domain.
func (l *Layers) lastResort(ctx context.Context, address mail.Address, known Target) (Target, error) {
	for _, layer := range l.layers {
		all, ok := layer.(CatchAll)
		if !ok {
			continue
		}
		if target, err := all.CatchAll(ctx, address); err != nil || target.Kind != KindNone {
			target.CatchAll = true
			return target, err
		}
	}
	home := l.directory.defaultDomain
	if known.Kind == KindNone && standsIn(lower(address.Local)) && home != "" && address.Domain != home {
		other := mail.Address{Local: address.Local, Domain: home}
		if at, err := l.Resolve(ctx, other); err != nil || at.Kind != KindNone && at.Kind.Ours() {
			return Target{Kind: KindAlias, Addresses: []mail.Address{other}, StandIn: true}, err
		}
	}
	return known, nil
}

// finish completes an alias: an address that is its own becomes a mailbox, mailboxes are looked for,
// and the owner is added.
func (l *Layers) finish(ctx context.Context, address mail.Address, target Target) (Target, error) {
	var err error
	target.Addresses, target.Branches = l.ownMailbox(address, target)
	for i, b := range target.Branches {
		if b.Target.Kind != KindNone {
			continue
		}
		if target.Branches[i].Target, err = l.mailbox(ctx, b.Address); err != nil {
			return Target{}, err
		}
	}
	if target.Account == 0 && !target.CatchAll && !target.StandIn {
		target.Owner, err = l.owner(ctx, address)
	}
	return target, err
}

// ownMailbox returns the targets of an alias with its own address among the branches. What it returns
// may be changed, other than target.
func (l *Layers) ownMailbox(address mail.Address, target Target) ([]mail.Address, []Branch) {
	branches := append([]Branch(nil), target.Branches...)
	own := normal(address)
	plain := own
	plain.Local, _, _ = splitDetail(own.Local, l.directory.separator)
	for i, a := range target.Addresses {
		if n := normal(a); n != own && n != plain {
			continue
		}
		others := append([]mail.Address(nil), target.Addresses[:i]...)
		for _, a := range target.Addresses[i+1:] {
			if n := normal(a); n != own && n != plain {
				others = append(others, a)
			}
		}
		return others, append(branches, Branch{Address: address})
	}
	return target.Addresses, branches
}

// mailbox returns the mailbox with an address, whatever its owner forwards; KindNone when there is
// none. An address of another host stays one.
func (l *Layers) mailbox(ctx context.Context, address mail.Address) (Target, error) {
	known, err := l.directory.Resolve(ctx, address)
	if err != nil {
		return Target{}, err
	}
	if known.Account != 0 && !known.CatchAll && !known.StandIn {
		return Target{Kind: KindAccount, Account: known.Account, Detail: known.Detail}, nil
	}
	if !known.Kind.Ours() {
		if ours, err := l.owns(ctx, address.Domain); err != nil || !ours {
			return Target{Kind: known.Kind}, err
		}
	}
	for _, layer := range l.layers {
		boxes, ok := layer.(Mailboxes)
		if !ok {
			continue
		}
		if target, err := boxes.Mailbox(ctx, address); err != nil || target.Kind != KindNone {
			return target, err
		}
	}
	return Target{}, nil
}

// ownerPrefix begins the local-part of the address that hears of failures of the list it names.
const ownerPrefix = "owner-"

// owner returns the owner address of a list, if there is one.
func (l *Layers) owner(ctx context.Context, list mail.Address) (mail.Address, error) {
	name := lower(list.Local)
	if strings.HasPrefix(name, ownerPrefix) || len(ownerPrefix)+len(name) > MaxLocal {
		return mail.Address{}, nil
	}
	owner := mail.Address{Local: ownerPrefix + list.Local, Domain: list.Domain}
	found, err := l.directory.Resolve(ctx, owner)
	if err == nil {
		found, err = l.find(ctx, owner, found)
	}
	if err != nil || found.Kind == KindNone || found.CatchAll || !found.Kind.Ours() {
		return mail.Address{}, err
	}
	return owner, nil
}

// Owns is [Directory.Owns] over all layers.
func (l *Layers) Owns(ctx context.Context, account mail.AccountID, address mail.Address) (bool, error) {
	return owns(ctx, l, account, address)
}
