package imap

import (
	"encoding/base64"
	"errors"
	"time"
)

// Arguments of commands. Mailbox names are UTF-8 with "/" between levels; flags keep the letters
// they were written in, except that system flags are written as in RFC 9051 section 2.3.2.
type (
	// Login is the argument of LOGIN.
	Login struct{ User, Password string }

	// Authenticate is the argument of AUTHENTICATE. Initial is nil when there was no initial
	// response, and not nil when it was empty (RFC 4959).
	Authenticate struct {
		Mechanism string // in upper case
		Initial   []byte
	}

	// Enable is the argument of ENABLE: capabilities in upper case.
	Enable []string

	// ID is the argument of ID: field, value, field, value … (RFC 2971). It is nil for NIL.
	ID []string

	// Select is the argument of SELECT and EXAMINE.
	Select struct {
		Mailbox   string
		Condstore bool
	}

	// Mailbox is the argument of DELETE, SUBSCRIBE and UNSUBSCRIBE.
	Mailbox string

	// Create is the argument of CREATE: Use has special-use attributes, as \Sent (RFC 6154).
	Create struct {
		Mailbox string
		Use     []string
	}

	// Rename is the argument of RENAME.
	Rename struct{ From, To string }

	// Status is the argument of STATUS: items in upper case.
	Status struct {
		Mailbox string
		Items   []string
	}

	// Copy is the argument of COPY, MOVE and their UID forms.
	Copy struct {
		Set     Set
		Mailbox string
	}

	// Store is the argument of STORE and UID STORE.
	Store struct {
		Set            Set
		Op             byte // '+', '-' or 0 for replace
		Silent         bool
		Flags          []string
		Conditional    bool // UNCHANGEDSINCE was given
		UnchangedSince uint64
	}
)

// Append is the argument of APPEND, of which the messages themselves are no part.
type Append struct {
	Mailbox string
	First   AppendArgs
}

// AppendArgs is what an APPEND says of one message ahead of its literal.
type AppendArgs struct {
	Flags    []string
	Received time.Time // zero when the client gave none
	UTF8     bool      // the literal stands inside "UTF8 (" and ")" (RFC 6855 section 4)
}

// Parse reads one command from text, which is all its lines with their literals, without the final
// CRLF. utf8 tells that mailbox names are UTF-8 and not modified UTF-7. Errors are a *SyntaxError,
// with the tag when there was one. APPEND has its own door, [ParseAppend].
//
// The Args are nil for commands without arguments, else *Login, *Authenticate, Enable, ID, *Select,
// Mailbox, *Create, *Rename, *List (LIST and LSUB), *Status, *Search, *Fetch, *Store, *Copy (COPY and
// MOVE), or Set (UID EXPUNGE). An unknown name is no error: Args is nil.
func Parse(text []byte, utf8 bool) (Command, error) {
	s := scanner{src: text, utf8: utf8}
	cmd := s.head()
	if s.err == nil {
		cmd.Args = s.args(cmd.Name)
	}
	if s.err != nil {
		return Command{}, s.syntaxError(cmd.Tag)
	}
	return cmd, nil
}

func (s *scanner) syntaxError(tag string) error {
	var syntax *SyntaxError
	if errors.As(s.err, &syntax) {
		syntax.Tag = tag
	}
	return s.err
}

// head parses the tag and the name.
func (s *scanner) head() Command {
	tag := s.run(classTag)
	if len(tag) == 0 || len(tag) > MaxTag {
		s.fail("a command begins with a tag")
		return Command{}
	}
	cmd := Command{Tag: string(tag)}
	s.space()
	cmd.Name = s.word()
	if cmd.Name == "UID" {
		s.space()
		cmd.Name = uidName(s.word())
	}
	if cmd.Name == "" {
		s.fail("a tag is followed by a command")
	}
	return cmd
}

func uidName(name string) string {
	switch name {
	case "FETCH":
		return "UID FETCH"
	case "STORE":
		return "UID STORE"
	case "SEARCH":
		return "UID SEARCH"
	case "COPY":
		return "UID COPY"
	case "MOVE":
		return "UID MOVE"
	case "EXPUNGE":
		return "UID EXPUNGE"
	}
	return ""
}

// names interns the names of commands, so that parsing them allocates nothing.
var names = makeNames()

func makeNames() map[string]string {
	all := []string{"CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "AUTHENTICATE", "LOGIN", "ENABLE", "ID",
		"SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "LIST", "LSUB",
		"NAMESPACE", "STATUS", "APPEND", "IDLE", "CHECK", "CLOSE", "UNSELECT", "EXPUNGE", "SEARCH",
		"FETCH", "STORE", "COPY", "MOVE", "UID", "FLAGS", "ENVELOPE", "BODYSTRUCTURE", "BODY",
		"BODY.PEEK", "INTERNALDATE", "RFC822.SIZE", "ALL", "FULL", "FAST", "UNSEEN", "SEEN"}
	table := make(map[string]string, len(all))
	for _, name := range all {
		table[name] = name
	}
	return table
}

// args parses what follows the name, up to the end.
func (s *scanner) args(name string) any {
	var args any
	switch name {
	case "CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "NAMESPACE", "IDLE", "CHECK", "CLOSE", "UNSELECT", "EXPUNGE":
	case "LOGIN":
		args = s.login()
	case "AUTHENTICATE":
		args = s.authenticate()
	case "ENABLE":
		args = s.enable()
	case "ID":
		args = s.id()
	case "SELECT", "EXAMINE":
		args = s.selectArgs()
	case "CREATE":
		args = s.create()
	case "DELETE", "SUBSCRIBE", "UNSUBSCRIBE":
		s.space()
		args = Mailbox(s.mailbox())
	case "RENAME":
		args = s.rename()
	case "LIST", "LSUB":
		args = s.listArgs(name == "LIST")
	case "STATUS":
		args = s.status()
	case "SEARCH", "UID SEARCH":
		args = s.search()
	case "FETCH", "UID FETCH":
		args = s.fetch()
	case "STORE", "UID STORE":
		args = s.storeArgs()
	case "COPY", "MOVE", "UID COPY", "UID MOVE":
		args = s.copyArgs()
	case "UID EXPUNGE":
		s.space()
		args = s.set()
	default: // unknown: whatever follows
		return nil
	}
	s.end()
	return args
}

func (s *scanner) login() *Login {
	s.space()
	user := s.astring()
	s.space()
	return &Login{user, s.astring()}
}

func (s *scanner) authenticate() *Authenticate {
	s.space()
	args := &Authenticate{Mechanism: upper([]byte(s.atom()))}
	if s.err != nil || !s.accept(' ') {
		return args
	}
	if s.accept('=') {
		args.Initial = []byte{}
		return args
	}
	encoded := s.src[s.pos:]
	s.pos = len(s.src)
	args.Initial = make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Decode(args.Initial, encoded)
	if args.Initial = args.Initial[:n]; err != nil {
		s.fail("an initial response is base64")
	}
	return args
}

func (s *scanner) enable() Enable {
	var args Enable
	s.space()
	for {
		args = append(args, upper([]byte(s.atom())))
		if !s.accept(' ') {
			return args
		}
	}
}

func (s *scanner) id() ID {
	s.space()
	if s.acceptWord("NIL") {
		return nil
	}
	args := ID{}
	s.list(func() { args = append(args, s.nstring()) })
	if len(args)%2 != 0 {
		s.fail("an ID list is made of pairs")
	}
	return args
}

// nstring returns a string, or "" for NIL.
func (s *scanner) nstring() string {
	if s.acceptWord("NIL") {
		return ""
	}
	return s.str()
}

func (s *scanner) selectArgs() *Select {
	s.space()
	args := &Select{Mailbox: s.mailbox()}
	if s.accept(' ') {
		s.list(func() {
			if !s.acceptWord("CONDSTORE") {
				s.fail("the only parameter of SELECT is CONDSTORE")
			}
			args.Condstore = true
		})
	}
	return args
}

// create parses CREATE with the parameter of RFC 6154: CREATE name (USE (\Sent)).
func (s *scanner) create() *Create {
	s.space()
	args := &Create{Mailbox: s.mailbox()}
	if s.accept(' ') {
		s.list(func() {
			if !s.acceptWord("USE") {
				s.fail("the only parameter of CREATE is USE")
			}
			s.space()
			s.list(func() { args.Use = append(args.Use, s.flag()) })
		})
	}
	return args
}

func (s *scanner) rename() *Rename {
	s.space()
	from := s.mailbox()
	s.space()
	return &Rename{from, s.mailbox()}
}

func (s *scanner) status() *Status {
	s.space()
	args := &Status{Mailbox: s.mailbox()}
	s.space()
	args.Items = s.words()
	return args
}

// words parses a list of keywords.
func (s *scanner) words() []string {
	var words []string
	s.list(func() {
		word := s.word()
		if word == "" {
			s.fail("expected a keyword")
		}
		words = append(words, word)
	})
	return words
}

func (s *scanner) copyArgs() *Copy {
	s.space()
	set := s.set()
	s.space()
	return &Copy{set, s.mailbox()}
}

func (s *scanner) storeArgs() *Store {
	args := &Store{}
	s.space()
	args.Set = s.set()
	s.space()
	if s.accept('(') {
		if !s.acceptWord("UNCHANGEDSINCE") {
			s.fail("the only modifier of STORE is UNCHANGEDSINCE")
		}
		s.space()
		args.Conditional, args.UnchangedSince = true, s.number64()
		s.expect(')')
		s.space()
	}
	if c := s.peek(); c == '+' || c == '-' {
		args.Op = c
		s.pos++
	}
	switch s.word() {
	case "FLAGS":
	case "FLAGS.SILENT":
		args.Silent = true
	default:
		s.fail("STORE takes FLAGS, +FLAGS or -FLAGS, each with or without .SILENT")
	}
	s.space()
	args.Flags = s.flags()
	return args
}

// flags parses a list of flags; STORE allows them without parentheses.
func (s *scanner) flags() []string {
	flags := []string{}
	if s.peek() == '(' {
		s.list(func() { flags = append(flags, s.flag()) })
		return flags
	}
	for {
		flags = append(flags, s.flag())
		if !s.accept(' ') {
			return flags
		}
	}
}

// flag parses a flag or keyword. \Recent, which a client cannot set, is refused by the grammar
// (RFC 3501 section 9).
func (s *scanner) flag() string {
	if !s.accept('\\') {
		return s.atom()
	}
	name := s.atom()
	for _, flag := range systemFlags {
		if equalFold([]byte(flag[1:]), upper([]byte(name))) {
			return flag
		}
	}
	if upper([]byte(name)) == "RECENT" {
		s.fail("\\Recent cannot be set by a client")
	}
	return "\\" + name
}

var systemFlags = []string{"\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"}
