package imap

// List is the argument of LIST (RFC 5258, RFC 5819, RFC 6154) and LSUB.
type List struct {
	Reference string
	Patterns  []string
	Extended  bool // selection or return options or several patterns were given

	Select ListOptions
	Return ListOptions
	Status []string // items of RETURN (STATUS (…)), in upper case
}

// ListOptions are selection or return options of LIST.
type ListOptions struct {
	Subscribed, Remote, RecursiveMatch, Children, SpecialUse bool
}

func (s *scanner) listArgs(extended bool) *List {
	args := &List{}
	s.space()
	if extended && s.peek() == '(' {
		args.Extended = true
		s.list(func() { s.selectOption(&args.Select) })
		s.space()
	}
	args.Reference = s.mailbox()
	s.space()
	if extended && s.peek() == '(' {
		args.Extended = true
		s.list(func() { s.pattern(args) })
	} else {
		s.pattern(args)
	}
	if extended && s.accept(' ') {
		args.Extended = true
		if !s.acceptWord("RETURN") {
			s.fail("expected RETURN")
		}
		s.space()
		s.list(func() { s.returnOption(args) })
	}
	total := 0
	for _, pattern := range args.Patterns {
		total += len(args.Reference) + len(pattern)
	}
	if total > MaxPattern {
		s.fail("the patterns are too long")
	}
	if o := args.Select; o.RecursiveMatch && !o.Subscribed && !o.SpecialUse {
		s.fail("RECURSIVEMATCH needs another selection option") // RFC 5258 section 3.1
	}
	return args
}

func (s *scanner) pattern(args *List) {
	if len(args.Patterns) == MaxPatterns {
		s.fail("too many patterns")
		return
	}
	if b, ok := s.stringBytes(); ok {
		args.Patterns = append(args.Patterns, s.mailboxName(string(b)))
		return
	}
	b := s.run(classList)
	if len(b) == 0 {
		s.fail("expected a mailbox pattern")
	}
	args.Patterns = append(args.Patterns, s.mailboxName(string(b)))
}

func (s *scanner) selectOption(o *ListOptions) {
	switch s.word() {
	case "SUBSCRIBED":
		o.Subscribed = true
	case "REMOTE":
		o.Remote = true
	case "RECURSIVEMATCH":
		o.RecursiveMatch = true
	case "SPECIAL-USE":
		o.SpecialUse = true
	default:
		s.fail("unknown selection option")
	}
}

func (s *scanner) returnOption(args *List) {
	switch s.word() {
	case "SUBSCRIBED":
		args.Return.Subscribed = true
	case "CHILDREN":
		args.Return.Children = true
	case "SPECIAL-USE":
		args.Return.SpecialUse = true
	case "STATUS":
		s.space()
		args.Status = s.words()
	default:
		s.fail("unknown return option")
	}
}

// MatchList tells whether name matches a pattern of LIST: "*" stands for anything, "%" for anything
// without "/" (RFC 9051 section 6.3.9). Time is bounded by len(pattern) × len(name).
func MatchList(pattern, name string) bool {
	// reach[i] tells that the pattern so far matches name[:i].
	var buffer [128]bool
	reach := buffer[:min(len(buffer), len(name)+1)]
	if len(name) >= len(buffer) {
		reach = make([]bool, len(name)+1)
	}
	reach[0] = true
	for p := 0; p < len(pattern); p++ {
		c := pattern[p]
		if c == '*' || c == '%' {
			for i := 1; i <= len(name); i++ {
				reach[i] = reach[i] || reach[i-1] && (c == '*' || name[i-1] != '/')
			}
			continue
		}
		for i := len(name); i > 0; i-- {
			reach[i] = reach[i-1] && name[i-1] == c
		}
		reach[0] = false
	}
	return reach[len(name)]
}
