// Package aliasmap makes layers of a [directory.Layers] out of what leads addresses elsewhere:
// alias files such as /etc/aliases ([File]), alias tables ([Tables]), and the return paths that we
// make for forwarded mail ([Returns]).
//
// What cannot be read is a temporary failure: of the file when all of it is gone, of one alias when it
// is only that one. Nothing is refused because a file was being edited.
package aliasmap

import (
	"fmt"
	"slices"
	"strings"

	"posthaste/aliases"
	"posthaste/directory"
	"posthaste/mail"
)

// DefaultSeparator divides user and detail of an address.
const DefaultSeparator = '+'

// Names says how names without domain are read.
type Names struct {
	// Domains are those whose addresses are names of this machine, in lower case A-labels. They are
	// ours even if the directory has none of them. The first completes names that stand at the right.
	Domains []string
	// Separator ends the name proper in name+detail. Zero means '+'.
	Separator byte
}

func (n Names) separator() byte {
	if n.Separator == 0 {
		return DefaultSeparator
	}
	return n.Separator
}

// Local tells whether the addresses of a domain are names of this machine.
func (n Names) Local(domain string) bool { return slices.Contains(n.Domains, domain) }

// complete adds the domain that a name of this machine lacks.
func (n Names) complete(a mail.Address) mail.Address {
	if a.Domain == "" && len(n.Domains) > 0 {
		a.Domain = n.Domains[0]
	}
	return a
}

// Split returns the name proper of a local-part and its detail, if it has one.
func (n Names) Split(local string) (user, detail string, ok bool) {
	i := strings.IndexByte(local, n.separator())
	if i <= 0 {
		return local, "", false
	}
	return local[:i], local[i+1:], true
}

// Target makes a Target of what an alias, or the .forward file of a user, says. user is whom programs and
// files belong to. Files to include are an error.
func (n Names) Target(of mail.Address, list []aliases.Target, user string) (directory.Target, error) {
	g := gathering{names: n, of: of}
	for _, t := range list {
		if t.Kind == aliases.Include {
			return directory.Target{}, fmt.Errorf("%s: nothing can be included here", t)
		}
		g.add(t, user)
	}
	return g.done(), nil
}

// A gathering makes one Target of what an alias says.
type gathering struct {
	names  Names
	of     mail.Address // the alias
	target directory.Target
}

// add takes one target. user is whom programs and files belong to, "" for nobody special.
func (g *gathering) add(t aliases.Target, user string) {
	switch t.Kind {
	case aliases.Address:
		g.target.Addresses = append(g.target.Addresses, g.names.complete(t.Address))
	case aliases.Mailbox:
		g.branch(directory.Branch{Address: g.names.complete(t.Address)})
	case aliases.Program:
		g.branch(directory.Branch{Address: g.of, Target: directory.Target{Kind: directory.KindProgram, Text: t.Text, User: user}})
	case aliases.File:
		g.branch(directory.Branch{Address: g.of, Target: directory.Target{Kind: directory.KindFile, Text: t.Text, User: user}})
	case aliases.Discard:
		// nothing is added: alone, it leaves an alias without targets
	case aliases.Fail, aliases.Defer:
		if g.target.Status == nil {
			g.answer(t)
		}
	}
}

func (g *gathering) branch(b directory.Branch) {
	g.target.Branches = append(g.target.Branches, b)
}

// answer has mail for the alias refused or put off, whatever else it says, as Exim does.
func (g *gathering) answer(t aliases.Target) {
	if t.Kind == aliases.Fail {
		g.target.Kind = directory.KindFail
		g.target.Status = statusOf(t.Text, mail.Status{Code: 550, Enhanced: "5.2.1", Text: "this address takes no mail"})
		return
	}
	g.target.Kind = directory.KindDefer
	g.target.Status = statusOf(t.Text, mail.Status{Code: 451, Enhanced: "4.2.1", Text: "this address takes no mail at the moment, try again later"})
}

// done returns the Target. An alias with no targets at all is a list that nobody is on.
func (g *gathering) done() directory.Target {
	switch t := &g.target; {
	case t.Status != nil:
		return directory.Target{Kind: t.Kind, Status: t.Status}
	case len(t.Addresses)+len(t.Branches) > 0:
		t.Kind = directory.KindAlias
	default:
		t.Kind = directory.KindDiscard
	}
	return g.target
}

// statusOf reads the text of :fail: and :defer:, which may begin with a reply code and an enhanced
// code of the right class. def is what it lacks.
func statusOf(text string, def mail.Status) *mail.Status {
	class := byte('0' + def.Code/100)
	if code, rest, _ := strings.Cut(text, " "); len(code) == 3 && code[0] == class && digits(code) {
		def.Code = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
		text = strings.TrimSpace(rest)
	}
	if code, rest, _ := strings.Cut(text, " "); isEnhanced(code, class) {
		def.Enhanced = code
		text = strings.TrimSpace(rest)
	}
	if text != "" {
		def.Text = text
	}
	return &def
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// isEnhanced tells whether s is a code of RFC 3463 of that class.
func isEnhanced(s string, class byte) bool {
	parts := strings.Split(s, ".")
	return len(parts) == 3 && parts[0] == string(class) &&
		digits(parts[1]) && digits(parts[2]) && len(parts[1]) <= 3 && len(parts[2]) <= 3
}
