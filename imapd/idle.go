package imapd

import (
	"context"
	"errors"
	"strings"
	"time"

	"posthaste/imap"
	"posthaste/wire"
)

// idle answers IDLE (RFC 9051 section 6.3.13). The session's own goroutine waits for the client and
// for changes at once: a change wakes it out of Park.
func (s *session) idle(ctx context.Context, cmd imap.Command) (answer, error) {
	s.say("+ idling\r\n")
	if s.box != nil {
		cancel := s.account.Watch(s.conn.Wake)
		defer cancel()
	}
	deadline := time.Now().Add(idleTimeout)
	for {
		if s.box != nil {
			if err := s.advance(ctx, true, 0); err != nil {
				return answer{}, err
			}
		}
		err := s.conn.Park(ctx, time.Until(deadline))
		if errors.Is(err, wire.ErrWoken) {
			continue
		}
		if err != nil {
			return answer{}, connError{err}
		}
		line, err := s.readLine()
		if err != nil {
			return answer{}, err
		}
		if !strings.EqualFold(string(line), "DONE") {
			return answer{}, bad("expected DONE")
		}
		return answer{}, nil
	}
}
