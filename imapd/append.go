package imapd

import (
	"context"
	"time"

	"posthaste/imap"
	"posthaste/store"
)

// An appendStart is an APPEND up to its first literal, which is not read yet.
type appendStart struct {
	args *imap.Append
	head imap.LiteralHead
}

// append answers APPEND (RFC 9051 section 6.3.12), with several messages too (RFC 3502). What must
// fail is refused before the client sends a literal that it holds back.
func (s *session) append(ctx context.Context, cmd imap.Command) (answer, error) {
	start, ok := cmd.Args.(*appendStart)
	if !ok {
		return answer{}, bad("APPEND needs a message as a literal")
	}
	box, err := s.destination(ctx, start.args.Mailbox)
	if err != nil {
		return answer{}, s.skipLiterals(start.head, err)
	}
	messages, held, err := s.readMessages(ctx, start)
	defer s.srv.appends.Release(held)
	if err != nil {
		return answer{}, err
	}
	appended, err := s.account.Append(ctx, box, messages)
	if err != nil {
		return answer{}, err
	}
	return answer{code: appendUID(appended.UIDValidity, appended.UIDs)}, nil
}

// readMessages reads the literals of an APPEND. held is how much memory it took from the server's
// share, also with an error.
func (s *session) readMessages(ctx context.Context, start *appendStart) (messages []store.Append, held int64, err error) {
	args, head := start.args.First, start.head
	for {
		if err := s.admissible(head, held, len(messages)); err != nil {
			return nil, held, s.skipLiterals(head, err)
		}
		if err := s.srv.acquire(ctx, int64(head.Size), held); err != nil {
			return nil, held, s.skipLiterals(head, err)
		}
		held += int64(head.Size)
		s.goAhead(head)
		content, err := s.readContent(int64(head.Size))
		if err != nil {
			return nil, held, err
		}
		line, err := s.readLine()
		if err != nil {
			return nil, held, err
		}
		message, err := s.srv.cfg.Store.Prepare(ctx, content)
		if err != nil {
			return nil, held, s.skipRest(line, err)
		}
		messages = append(messages, store.Append{Message: message, Received: received(args), Keywords: args.Flags})
		next, literal := imap.ParseLiteralHead(line)
		if literal {
			line = line[:next.Start]
		}
		var more bool
		args, more, err = imap.ParseAppendMore(line, args.UTF8)
		switch {
		case err != nil && literal:
			return nil, held, s.skipLiterals(next, err)
		case err != nil:
			return nil, held, err
		case more != literal:
			return nil, held, bad("APPEND is a list of messages, each a literal")
		case !more:
			return messages, held, nil
		}
		head = next
	}
}

// skipRest reads what follows line, if that ends in a literal, and returns reason.
func (s *session) skipRest(line []byte, reason error) error {
	if head, ok := imap.ParseLiteralHead(line); ok {
		return s.skipLiterals(head, reason)
	}
	return reason
}

// acquire takes n bytes of the server's share for appends. Who holds some already does not wait for
// more: all could wait for each other.
func (srv *Server) acquire(ctx context.Context, n, held int64) error {
	if srv.appends.TryAcquire(n) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, appendWait)
	defer cancel()
	if held > 0 || srv.appends.Acquire(ctx, n) != nil {
		return no("UNAVAILABLE", "too many messages are being appended, try again later")
	}
	return nil
}

// admissible tells whether one more message of that size is within the bounds.
func (s *session) admissible(head imap.LiteralHead, held int64, count int) error {
	limit := s.srv.cfg.MaxMessage
	switch {
	case head.Size > uint64(limit):
		return no("TOOBIG", "a message of %d bytes is over the limit of %d", head.Size, limit)
	case held+int64(head.Size) > max(limit, s.srv.cfg.Memory/4) || count == maxAppends:
		return no("LIMIT", "too much in one APPEND, send the messages one by one")
	case head.Size == 0:
		return no("CANNOT", "a message cannot be empty")
	}
	return nil
}

// readContent reads a literal. Memory grows with what has come, not with what was announced.
func (s *session) readContent(size int64) ([]byte, error) {
	const step = 1 << 20
	content := make([]byte, min(size, step))
	if err := s.conn.ReadFull(content); err != nil {
		return nil, connError{err}
	}
	for int64(len(content)) < size {
		n := len(content)
		grown := make([]byte, min(size, int64(4*n)))
		copy(grown, content)
		if err := s.conn.ReadFull(grown[n:]); err != nil {
			return nil, connError{err}
		}
		content = grown
	}
	return content, nil
}

// received returns INTERNALDATE: what the client gave, else now.
func received(args imap.AppendArgs) time.Time {
	if args.Received.IsZero() {
		return time.Now()
	}
	return args.Received
}
