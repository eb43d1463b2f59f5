package imapd

import (
	"context"
	"slices"
	"strings"

	"posthaste/imap"
	"posthaste/store"
)

// A listing is the names that LIST and LSUB choose from.
type listing struct {
	mailboxes  []store.Mailbox
	byName     map[string]int // index in mailboxes
	subscribed map[string]bool
	parents    map[string]bool // names with a mailbox below
	subParents map[string]bool // names with a subscribed name below
}

func (s *session) listing(ctx context.Context) (*listing, error) {
	mailboxes, err := s.account.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.account.Subscriptions(ctx)
	if err != nil {
		return nil, err
	}
	l := &listing{mailboxes: mailboxes, byName: make(map[string]int, len(mailboxes)), subscribed: make(map[string]bool),
		parents: make(map[string]bool), subParents: make(map[string]bool)}
	for i, mailbox := range mailboxes {
		l.byName[mailbox.Name] = i
		markParents(l.parents, mailbox.Name)
	}
	for _, name := range names {
		l.subscribed[name] = true
		markParents(l.subParents, name)
	}
	return l, nil
}

func markParents(set map[string]bool, name string) {
	for i := strings.LastIndexByte(name, '/'); i > 0 && !set[name[:i]]; i = strings.LastIndexByte(name[:i], '/') {
		set[name[:i]] = true
	}
}

// names returns every name that can be listed: mailboxes in their order, then subscribed names
// without mailbox and names that only stand above others.
func (l *listing) names() []string {
	names := make([]string, 0, len(l.mailboxes))
	for _, mailbox := range l.mailboxes {
		names = append(names, mailbox.Name)
	}
	var more []string
	for _, set := range []map[string]bool{l.subscribed, l.subParents, l.parents} {
		for name := range set {
			if _, ok := l.byName[name]; !ok {
				more = append(more, name)
			}
		}
	}
	slices.Sort(more)
	return append(names, slices.Compact(more)...)
}

// list answers LIST (RFC 9051 section 6.3.9).
func (s *session) list(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.List)
	if len(args.Patterns) == 1 && args.Patterns[0] == "" && !args.Extended {
		s.say("* LIST (\\Noselect) \"/\" \"\"\r\n") // the delimiter is asked for
		return answer{}, nil
	}
	l, err := s.listing(ctx)
	if err != nil {
		return answer{}, err
	}
	var line []byte
	for _, name := range l.names() {
		attributes, childInfo, ok := l.choose(name, args)
		if !ok || !matchAny(args, name) {
			continue
		}
		line = s.appendListLine(line[:0], "LIST", name, attributes, childInfo)
		if i, exists := l.byName[name]; exists && args.Status != nil && !l.mailboxes[i].NoSelect {
			if line, err = s.appendStatus(line, l.mailboxes[i], args.Status); err != nil {
				return answer{}, err
			}
		}
		s.conn.Write(line)
	}
	return answer{}, nil
}

func matchAny(args *imap.List, name string) bool {
	for _, pattern := range args.Patterns {
		if imap.MatchList(foldInbox(args.Reference+pattern), name) {
			return true
		}
	}
	return false
}

// foldInbox writes the first level of pattern as INBOX is stored when it is that in another case.
func foldInbox(pattern string) string {
	const inbox = "INBOX"
	if len(pattern) >= len(inbox) && strings.EqualFold(pattern[:len(inbox)], inbox) &&
		(len(pattern) == len(inbox) || strings.IndexByte("/*%", pattern[len(inbox)]) >= 0) {
		return inbox + pattern[len(inbox):]
	}
	return pattern
}

// choose tells whether the selection options take name, and with which attributes (RFC 5258). A name
// without mailbox is listed when it is subscribed, or when something below it was asked for.
func (l *listing) choose(name string, args *imap.List) (attributes []string, childInfo, ok bool) {
	i, exists := l.byName[name]
	var mailbox store.Mailbox
	if exists {
		mailbox = l.mailboxes[i]
	}
	use := specialUses[mailbox.Role]
	ok = exists
	switch {
	case args.Select.Subscribed:
		ok = l.subscribed[name]
		if childInfo = args.Select.RecursiveMatch && l.subParents[name]; childInfo {
			ok = true
		}
		if args.Select.SpecialUse {
			ok = ok && use != ""
		}
	case args.Select.SpecialUse:
		ok = use != ""
	}
	if !exists {
		attributes = append(attributes, `\NonExistent`)
	} else if mailbox.NoSelect {
		attributes = append(attributes, `\Noselect`)
	}
	if l.parents[name] {
		attributes = append(attributes, `\HasChildren`)
	} else if exists {
		attributes = append(attributes, `\HasNoChildren`)
	}
	if l.subscribed[name] && (args.Select.Subscribed || args.Return.Subscribed) {
		attributes = append(attributes, `\Subscribed`)
	}
	if use != "" {
		attributes = append(attributes, use)
	}
	return attributes, childInfo, ok
}

func (s *session) appendListLine(line []byte, response, name string, attributes []string, childInfo bool) []byte {
	line = append(line, "* "...)
	line = append(line, response...)
	line = append(line, ' ')
	line = imap.AppendFlags(line, attributes)
	line = append(line, ` "/" `...)
	line = imap.AppendMailbox(line, name, s.utf8)
	if childInfo {
		line = append(line, ` ("CHILDINFO" ("SUBSCRIBED"))`...)
	}
	return append(line, "\r\n"...)
}

// lsub answers LSUB (RFC 3501 section 6.3.9): subscribed names, and for a pattern with "%" also names
// that are only above such, as \Noselect.
func (s *session) lsub(ctx context.Context, cmd imap.Command) (answer, error) {
	args := cmd.Args.(*imap.List)
	l, err := s.listing(ctx)
	if err != nil {
		return answer{}, err
	}
	above := strings.Contains(args.Patterns[0], "%")
	var line []byte
	for _, name := range l.names() {
		var attributes []string
		switch {
		case !matchAny(args, name):
			continue
		case l.subscribed[name]:
			if i, exists := l.byName[name]; !exists || l.mailboxes[i].NoSelect {
				attributes = []string{`\Noselect`}
			}
		case above && l.subParents[name]:
			attributes = []string{`\Noselect`}
		default:
			continue
		}
		line = s.appendListLine(line[:0], "LSUB", name, attributes, false)
		s.conn.Write(line)
	}
	return answer{}, nil
}
