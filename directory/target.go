package directory

import (
	"fmt"
	"strings"

	"posthaste/mail"
)

// A Kind says what an address is to us.
type Kind uint8

// The kinds of a Target.
const (
	KindNone    Kind = iota // our domain, but nobody has this address
	KindAccount             // one account
	KindAlias               // other addresses, each to be resolved in turn, and Branches
	KindRelay               // the domain is not ours, but we are a backup for it
	KindRemote              // somebody else's domain
	KindUnix                // the mailbox of a user of this machine
	KindProgram             // a program that reads the message
	KindFile                // a file or folder that the message is added to
	KindFail                // refused for good, with Status
	KindDefer               // put off, with Status
	KindDiscard             // taken and thrown away
	KindMoved               // its owner has another address now; Status says whether we forward
)

// A Target is where mail for an address goes, in one step.
type Target struct {
	Kind      Kind
	CatchAll  bool           // the address itself is unknown; its domain takes everything
	StandIn   bool           // so is this; somebody must read postmaster and its like
	Account   mail.AccountID // of KindAccount; of KindAlias the one whose forward it is, or 0
	Addresses []mail.Address // of KindAlias and, one, KindMoved; shared, not to be changed
	Branches  []Branch       // of KindAlias: where else it leads; shared, not to be changed
	Owner     mail.Address   // of KindAlias: who hears of failures (owner-list for list), or zero
	Detail    string         // of a sub-address: "tag" of user+tag

	User   string       // of KindUnix, KindProgram and KindFile: whom to become; "" is nobody special
	Text   string       // the path of KindUnix and KindFile, a Maildir if it ends in "/"; the command of KindProgram
	Status *mail.Status // of KindFail, KindDefer and KindMoved (551 refuses, 251 forwards)
}

// A Branch is where an alias leads beside addresses that are resolved in turn: a program, a file, or a
// mailbox whose own forward does not count (\user in an alias file).
//
// A [Layer] may leave Target empty: the mailbox of Address is meant, and [Layers] looks for it. What
// is still KindNone after that leads to nobody.
type Branch struct {
	Address mail.Address // what it is called in reports and in Delivered-To
	Target  Target
}

// Final tells whether mail for a target ends here, at this host.
func (k Kind) Final() bool {
	switch k {
	case KindAlias, KindRelay, KindRemote, KindMoved:
		return false
	}
	return true
}

// Ours tells whether an address of kind k is in a domain that we answer for ourselves.
func (k Kind) Ours() bool { return k != KindRelay && k != KindRemote }

// String says in words where t leads.
func (t Target) String() string {
	switch t.Kind {
	case KindAccount:
		return "account " + t.Account.String()
	case KindAlias:
		return t.aliasText()
	case KindRelay:
		return "in a domain that we relay for"
	case KindRemote:
		return "in somebody else's domain"
	case KindUnix:
		return fmt.Sprintf("the mailbox %s of the Unix user %s", t.Text, t.User)
	case KindProgram:
		return "the program " + t.Text
	case KindFile:
		return "the file " + t.Text
	case KindFail, KindDefer, KindMoved:
		return "answered with " + t.Status.Error()
	case KindDiscard:
		return "taken and thrown away"
	}
	return "nobody"
}

// maxTold is how many targets of an alias are named in words.
const maxTold = 10

func (t Target) aliasText() string {
	var names []string
	for _, a := range t.Addresses {
		names = append(names, a.String())
	}
	for _, b := range t.Branches {
		names = append(names, b.Target.String())
	}
	if n := len(names); n > maxTold {
		names = append(names[:maxTold], fmt.Sprintf("%d more", n-maxTold))
	}
	what := "an alias for "
	switch {
	case t.Account != 0:
		what = fmt.Sprintf("account %s, forwarded to ", t.Account)
	case t.CatchAll:
		what = "taken by the catch-all for "
	}
	return what + strings.Join(names, ", ")
}
