package imapd

import (
	"context"
	"strings"

	"posthaste/imap"
)

// idling is an IDLE that has begun.
type idling struct {
	cmd    imap.Command
	cancel func() // ends watching the account
}

// idle begins IDLE (RFC 9051 section 6.3.13). From here on the session waits for the client and for
// changes at once: a change wakes it out of Park.
func (s *session) idle(ctx context.Context, cmd imap.Command) (answer, error) {
	s.say("+ idling\r\n")
	s.idling = &idling{cmd: cmd, cancel: func() {}}
	if s.box == nil {
		return answer{}, errDone
	}
	s.idling.cancel = s.account.Watch(s.conn.Wake)
	if err := s.advance(ctx, true, 0); err != nil { // what changed until the watch began
		return answer{}, err
	}
	return answer{}, errDone
}

// endIdle reads the line that ends IDLE, and answers the command.
func (s *session) endIdle() error {
	cmd := s.idling.cmd
	s.idling.cancel()
	s.idling = nil
	line, err := s.readLine()
	if err == nil && !strings.EqualFold(string(line), "DONE") {
		err = bad("expected DONE")
	}
	return s.finish(cmd, answer{}, err)
}
