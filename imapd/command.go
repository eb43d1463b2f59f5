package imapd

import (
	"context"
	"errors"

	"posthaste/imap"
	"posthaste/wire"
)

// readCommand reads one command. A literal that is a message is not read: such a command has an
// *appendStart as Args. Errors that are no connError leave the session at the start of a line.
func (s *session) readCommand(ctx context.Context) (imap.Command, error) {
	line, err := s.readLine()
	if err != nil {
		return imap.Command{}, err
	}
	head, more := imap.ParseLiteralHead(line)
	if !more {
		return parsed(imap.Parse(line, s.utf8))
	}
	text := append([]byte(nil), line...)
	for more {
		cmd, isAppend, err := imap.ParseAppend(text[:len(text)-len(line)+head.Start], s.utf8)
		switch {
		case err != nil:
			return imap.Command{Tag: cmd.Tag}, s.skipLiterals(head, err)
		case isAppend && s.account != nil:
			cmd.Args = &appendStart{cmd.Args.(*imap.Append), head}
			return cmd, nil
		case head.Size > uint64(s.maxCommand()-len(text)):
			return imap.Command{Tag: cmd.Tag}, s.skipLiterals(head, no("LIMIT", "the command is too long"))
		}
		s.goAhead(head)
		at := len(text) + len("\r\n")
		text = append(append(text, "\r\n"...), make([]byte, head.Size)...)
		if err := s.conn.ReadFull(text[at:]); err != nil {
			return imap.Command{}, connError{err}
		}
		if line, err = s.readLine(); err != nil {
			return imap.Command{Tag: cmd.Tag}, err
		}
		if text = append(text, line...); len(text) > s.maxCommand() {
			return imap.Command{Tag: cmd.Tag}, no("LIMIT", "the command is too long")
		}
		head, more = imap.ParseLiteralHead(line)
	}
	return parsed(imap.Parse(text, s.utf8))
}

// parsed puts the tag of a command that is none into the command, for the answer.
func parsed(cmd imap.Command, err error) (imap.Command, error) {
	var syntax *imap.SyntaxError
	if errors.As(err, &syntax) {
		cmd.Tag = syntax.Tag
	}
	return cmd, err
}

func (s *session) maxCommand() int {
	if s.account == nil {
		return maxCommandNoLogin
	}
	return maxCommand
}

// readLine reads a line. IMAP has no end-of-data mark that a bare LF could forge, so that one ends a
// line too, for people who type.
func (s *session) readLine() ([]byte, error) {
	line, err := s.conn.ReadLine()
	switch {
	case err == nil || errors.Is(err, wire.ErrBareLF):
		return line, nil
	case errors.Is(err, wire.ErrLineTooLong):
		return nil, bad("a line is longer than %d bytes", maxLine)
	}
	return nil, connError{err}
}

// goAhead asks for a literal that the client holds back (RFC 9051 section 4.3).
func (s *session) goAhead(head imap.LiteralHead) {
	if head.Sync {
		s.say("+ go ahead\r\n")
	}
}

// skipLiterals reads the rest of a command that is refused with reason: literals the client sends
// without asking, and the lines between them. A literal that it holds back is the end.
func (s *session) skipLiterals(head imap.LiteralHead, reason error) error {
	limit := uint64(2 * s.srv.cfg.MaxMessage)
	if s.account == nil {
		limit = maxCommandNoLogin
	}
	for total := uint64(0); !head.Sync; {
		if total += head.Size; total > limit || head.Size > limit {
			s.say("* BYE [TOOBIG] more than this server reads\r\n")
			return errEnd
		}
		if err := s.conn.Discard(int64(head.Size)); err != nil {
			return connError{err}
		}
		line, err := s.readLine()
		if err != nil {
			return err
		}
		more := false
		if head, more = imap.ParseLiteralHead(line); !more {
			break
		}
	}
	return reason
}
