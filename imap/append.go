package imap

import "strconv"

// ParseAppend reads the beginning of an APPEND up to its first literal. text ends where the literal's
// "{" or "~{" stands. ok is false when text is no APPEND, or one whose literal is the name of the
// mailbox, which more text must follow; else the Args are an *Append. The command has its tag, if there
// is one, also with an error.
func ParseAppend(text []byte, utf8 bool) (cmd Command, ok bool, err error) {
	s := scanner{src: text, utf8: utf8}
	cmd = s.head()
	if s.err != nil || cmd.Name != "APPEND" {
		return cmd, false, nil
	}
	s.space()
	if s.pos == len(text) {
		return cmd, false, nil
	}
	args := &Append{Mailbox: s.mailbox()}
	args.First = s.appendArgs()
	if s.err != nil {
		return cmd, false, s.syntaxError(cmd.Tag)
	}
	cmd.Args = args
	return cmd, true, nil
}

// ParseAppendMore reads what stands between one message and the next of a MULTIAPPEND (RFC 3502).
// Empty text, or ")" where args.UTF8 of the message before asks for it, is the end: more is false.
func ParseAppendMore(text []byte, closing bool) (args AppendArgs, more bool, err error) {
	s := scanner{src: text}
	if closing {
		s.expect(')')
	}
	if s.err == nil && s.pos == len(text) {
		return args, false, nil
	}
	args = s.appendArgs()
	return args, s.err == nil, s.err
}

// appendArgs parses SP [flag-list SP] [date-time SP] ["UTF8" SP "("].
func (s *scanner) appendArgs() AppendArgs {
	var args AppendArgs
	s.space()
	if s.peek() == '(' {
		args.Flags = s.flags()
		s.space()
	}
	if s.peek() == '"' {
		args.Received = s.dateTime()
		s.space()
	}
	if s.acceptWord("UTF8") {
		args.UTF8 = true
		s.space()
		s.expect('(')
	}
	if s.err == nil && s.pos < len(s.src) {
		s.fail("a message is a literal, at byte " + strconv.Itoa(s.pos+1))
	}
	return args
}

// A LiteralHead is the announcement of a literal at the end of a line.
type LiteralHead struct {
	Size   uint64
	Sync   bool // the client waits for a continuation request
	Binary bool // "~{": literal8 (RFC 3516)
	Start  int  // where the announcement begins in its line
}

// ParseLiteralHead finds the announcement of a literal at the end of line. ok is false when line
// ends the command.
func ParseLiteralHead(line []byte) (head LiteralHead, ok bool) {
	n := len(line)
	if n < 3 || line[n-1] != '}' {
		return head, false
	}
	i := n - 2
	head.Sync = line[i] != '+'
	if !head.Sync {
		i--
	}
	digits := i
	for i >= 0 && line[i] >= '0' && line[i] <= '9' {
		i--
	}
	if i < 0 || line[i] != '{' || i == digits || digits-i > 18 {
		return LiteralHead{}, false
	}
	for _, c := range line[i+1 : digits+1] {
		head.Size = head.Size*10 + uint64(c-'0')
	}
	if head.Start = i; i > 0 && line[i-1] == '~' {
		head.Binary, head.Start = true, i-1
	}
	return head, true
}
